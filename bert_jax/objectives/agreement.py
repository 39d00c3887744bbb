"""Measures of agreement between what is predicted and what is right, in float64 on the host.

A measure that is not defined, such as the correlation with a constant, is None.
"""

import numpy as np

# Of float32 values, relative to their mean square: a variance below is that of a constant, rounded.
ROUNDING = 1e-12


def macro_f1(said: np.ndarray, gold: np.ndarray) -> float | None:
    """Computes the mean F1 over the labels predicted or true at least once, as scikit-learn does.

    Args:
      said, gold: bool [examples, C].

    Returns:
      None if no label is predicted or true.
    """
    hit, both = (said & gold).sum(0), said.sum(0) + gold.sum(0)
    return float((2 * hit[both > 0] / both[both > 0]).mean()) if both.any() else None


def micro_f1(said: np.ndarray, gold: np.ndarray) -> float | None:
    """Computes the F1 over all decisions [examples, C]; None if no label is predicted or true."""
    both = said.sum() + gold.sum()
    return float(2 * (said & gold).sum() / both) if both else None


def matthews(said: np.ndarray, gold: np.ndarray) -> float | None:
    """Computes the correlation of Matthews (Gorodkin 2004 for several classes), from ids [examples].

    Returns:
      None if only one class is predicted, or only one is true.
    """
    names, both = np.unique(np.stack([said, gold]), return_inverse=True)
    said, gold = (np.eye(len(names))[row] for row in both.reshape(2, -1))
    covariance = [(x * y).mean(0).sum() - (x.mean(0) * y.mean(0)).sum() for x, y in ((said, gold), (said, said))]
    spread = (gold * gold).mean(0).sum() - (gold.mean(0) ** 2).sum()
    scale = covariance[1] * spread
    return float(covariance[0] / np.sqrt(scale)) if scale > ROUNDING else None


def pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    """Computes Pearson's correlation of numbers [examples]; None if x or y is constant to within `ROUNDING`."""
    pairs = np.stack([x, y]).astype(np.float64)
    if not pairs.size or not np.isfinite(pairs).all():
        return None
    apart = pairs - pairs.mean(1, keepdims=True)
    variances = (apart**2).mean(1)
    if (variances <= ROUNDING * (pairs**2).mean(1)).any():
        return None
    return float((apart[0] * apart[1]).mean() / np.sqrt(variances.prod()))


def spearman(x: np.ndarray, y: np.ndarray) -> float | None:
    """Computes the correlation of the ranks of numbers [examples]; equal numbers share the mean of their ranks."""
    return None if pearson(x, y) is None else pearson(_ranks(x), _ranks(y))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def majority(gold: np.ndarray) -> tuple[float, float | None]:
    """Computes the accuracy and the macro-F1 of always predicting the most frequent row of `gold`, bool [examples, C]."""
    rows, counts = np.unique(gold, axis=0, return_counts=True)
    said = np.broadcast_to(rows[counts.argmax()], gold.shape)
    return float(counts.max() / len(gold)), macro_f1(said, gold)
