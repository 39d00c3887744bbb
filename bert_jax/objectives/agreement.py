"""Scores of all held-out predictions at once, on the host in float64.

A score is None where it is undefined: without examples, with values that are not finite, and where its formula divides
by zero; each function says when. A score is never NaN, and nothing is left out of one silently. Gold and predicted
classes are ids, int [examples]; of several labels at once, bool [examples, C].

`tests/objectives/test_score_parity.py` compares with the functions of scikit-learn and SciPy that are named here.
"""

import dataclasses

import numpy as np

# Values this close are one constant, rounded: in units of their dtype's epsilon, times the largest of them.
ROUNDING = 4


def accuracy(gold: np.ndarray, predicted: np.ndarray) -> float | None:
    """Computes the share of examples that are right; with several labels, those with exactly the right ones.

    As `sklearn.metrics.accuracy_score`. None without examples.
    """
    gold, predicted = _labels(gold, predicted)
    right = (gold == predicted).all(-1) if gold.ndim == 2 else gold == predicted
    return float(right.mean()) if len(right) else None


def share_interval(hits: int, examples: int) -> tuple[float, float] | None:
    """Computes a 95 % interval of a share, such as an accuracy (Wilson 1927).

    As `scipy.stats.binomtest(hits, examples).proportion_ci(method="wilson")`. None without examples.
    """
    if not examples:
        return None
    z, share = 1.959963984540054, hits / examples
    scale = 1 + z**2 / examples
    centre = (share + z**2 / (2 * examples)) / scale
    half = z * np.sqrt(share * (1 - share) / examples + z**2 / (4 * examples**2)) / scale
    return float(max(centre - half, 0)), float(min(centre + half, 1))


def class_f1(gold: np.ndarray, predicted: np.ndarray, index: int) -> float | None:
    """Computes the F1 of one class.

    As `sklearn.metrics.f1_score(gold == index, predicted == index)`. None if the class is neither true nor predicted
    anywhere, where scikit-learn warns and gives 0.
    """
    gold, predicted = _labels(gold, predicted)
    if gold.ndim == 2:
        return _f1(gold[:, index], predicted[:, index])
    return _f1(gold == index, predicted == index)


def macro_f1(gold: np.ndarray, predicted: np.ndarray) -> float | None:
    """Computes the mean F1 over the classes that are true or predicted at least once.

    As `sklearn.metrics.f1_score(…, average="macro", zero_division=nan)`. None if there is no such class.
    """
    gold, predicted = _labels(gold, predicted)
    classes = range(gold.shape[1]) if gold.ndim == 2 else np.union1d(gold, predicted)
    found = [class_f1(gold, predicted, index) for index in classes]
    defined = [value for value in found if value is not None]
    return float(np.mean(defined)) if defined else None


def micro_f1(gold: np.ndarray, predicted: np.ndarray) -> float | None:
    """Computes the F1 of all pairs of an example and a label, for several labels: bool [examples, C].

    As `sklearn.metrics.f1_score(…, average="micro")`. None if no label is true or predicted anywhere. Of single classes
    it would be the accuracy.
    """
    gold, predicted = _labels(gold, predicted)
    if gold.ndim != 2:
        raise ValueError(f"micro-F1 is for labels of shape [examples, C], not {gold.shape}")
    return _f1(gold, predicted)


def confusion_matrix(gold: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts the examples of each gold class (rows) by their predicted class (columns): int64 [C, C].

    As `sklearn.metrics.confusion_matrix(…, labels=range(num_classes))`.

    Raises:
      ValueError: an id is not below `num_classes`.
    """
    gold, predicted = _labels(gold, predicted)
    highest = max(gold.max(initial=-1), predicted.max(initial=-1))
    if highest >= num_classes:
        raise ValueError(f"the class {highest} is not one of {num_classes}")
    pairs = gold.astype(np.int64) * num_classes + predicted
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def matthews(gold: np.ndarray, predicted: np.ndarray) -> float | None:
    """Computes Matthews' correlation; with more than two classes, its extension R_K (Gorodkin 2004).

    As `sklearn.metrics.matthews_corrcoef`. Its formula gives 0/0 in two cases. If gold has one class, nothing can be
    learned from it: None. If the predictions have one class, the model tells nothing apart: 0, as scikit-learn has it,
    so that a collapsed run counts in a mean over seeds. None without examples.
    """
    gold, predicted = _labels(gold, predicted)
    classes, ids = np.unique(np.concatenate([gold, predicted]), return_inverse=True)
    counts = confusion_matrix(ids[: len(gold)], ids[len(gold) :], len(classes)).astype(np.float64)
    true, said, examples = counts.sum(1), counts.sum(0), counts.sum()
    spread_true, spread_said = examples**2 - true @ true, examples**2 - said @ said
    if not spread_true:
        return None
    if not spread_said:
        return 0.0
    value = (counts.trace() * examples - true @ said) / np.sqrt(spread_true * spread_said)
    return float(np.clip(value, -1, 1))


def pearson(gold: np.ndarray, predicted: np.ndarray) -> float | None:
    """Computes Pearson's correlation of numbers [examples].

    As `scipy.stats.pearsonr`. None if one side is constant, or not finite. Give the predictions in the dtype in which
    they were computed: values that differ by its rounding are constant.
    """
    gold, predicted = _numbers(gold, predicted)
    if _no_spread(gold) or _no_spread(predicted):
        return None
    return _correlation(gold, predicted)


def spearman(gold: np.ndarray, predicted: np.ndarray) -> float | None:
    """Computes Spearman's rank correlation of numbers [examples]; equal numbers share the mean of their ranks.

    As `scipy.stats.spearmanr`. None under the same conditions as `pearson`.
    """
    gold, predicted = _numbers(gold, predicted)
    if _no_spread(gold) or _no_spread(predicted):
        return None
    return _correlation(ranks(gold), ranks(predicted))


def mean_squared_error(gold: np.ndarray, predicted: np.ndarray) -> float | None:
    """Computes the mean squared error of numbers [examples].

    As `sklearn.metrics.mean_squared_error`. None without examples, or if a value or the error is not finite.
    """
    gold, predicted = _numbers(gold, predicted)
    if not len(gold) or not np.isfinite(gold).all() or not np.isfinite(predicted).all():
        return None
    with np.errstate(over="ignore"):
        value = np.square(gold.astype(np.float64) - predicted.astype(np.float64)).mean()
    return float(value) if np.isfinite(value) else None


@dataclasses.dataclass(frozen=True)
class CalibrationBin:
    """The predictions whose probability is above `low` and at most `high` (in the first bin, 0 too).

    Attributes:
      count: how many they are.
      probability: their mean probability; None if there are none.
      right: the share of them that is right; None if there are none.
    """

    low: float
    high: float
    count: int
    probability: float | None
    right: float | None


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How far probabilities are from the shares that are right.

    Attributes:
      error: the expected calibration error: the mean of |probability - right| over bins, weighted by their counts.
      bins: the reliability table, from low to high.
    """

    error: float
    bins: tuple[CalibrationBin, ...]


def calibration(gold: np.ndarray, probabilities: np.ndarray, num_bins: int = 15) -> Calibration | None:
    """Computes the expected calibration error over bins of equal width, and the bins (Guo et al. 2017).

    A prediction is the most probable class of an example; with several labels, each label of each example, which is
    right if the label is true. The bins that are not empty are those of `sklearn.calibration.calibration_curve`.

    Args:
      gold: int [examples], or bool [examples, C] for several labels.
      probabilities: float [examples, C].
      num_bins: 15, as in the paper.

    Returns:
      None without examples, or if a probability is not finite.
    """
    gold, probabilities = np.asarray(gold), np.asarray(probabilities, np.float64)
    if probabilities.shape[: gold.ndim] != gold.shape or probabilities.ndim != 2:
        raise ValueError(f"labels of shape {gold.shape}, but probabilities of shape {probabilities.shape}")
    if not probabilities.size or not np.isfinite(probabilities).all():
        return None
    if gold.ndim == 1:
        right = probabilities.argmax(-1) == gold
        probabilities = probabilities.max(-1)
    else:
        right = gold.astype(bool)
    return _calibration(right.ravel(), probabilities.ravel(), num_bins)


def _calibration(right: np.ndarray, probabilities: np.ndarray, num_bins: int) -> Calibration:
    edges = np.linspace(0, 1, num_bins + 1)
    places = np.searchsorted(edges[1:-1], probabilities)
    counts = np.bincount(places, minlength=num_bins)
    sums, hits = (np.bincount(places, x, num_bins) for x in (probabilities, right))
    bins = tuple(
        CalibrationBin(float(low), float(high), int(n), float(p / n) if n else None, float(hit / n) if n else None)
        for low, high, n, p, hit in zip(edges[:-1], edges[1:], counts, sums, hits, strict=True)
    )
    return Calibration(float(np.abs(sums - hits).sum() / len(right)), bins)


def _labels(gold: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Checks that labels are of one shape and that none is hidden.

    Hidden labels, such as the -1 of GLUE's test sets, must be left out by whoever calls: counted as wrong, they would
    make a score of nothing.
    """
    gold, predicted = _same_shape(gold, predicted)
    if gold.dtype.kind == "i" and (gold < 0).any():
        raise ValueError(f"{(gold < 0).sum()} gold labels are negative: leave examples without a label out")
    return (gold.astype(bool), predicted.astype(bool)) if gold.ndim == 2 else (gold, predicted)


def _same_shape(gold: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NumPy would broadcast [examples] against [examples, 1] to all pairs."""
    gold, predicted = np.asarray(gold), np.asarray(predicted)
    if gold.shape != predicted.shape:
        raise ValueError(f"gold has the shape {gold.shape}, the predictions have {predicted.shape}")
    return gold, predicted


def _numbers(gold: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gold, predicted = _same_shape(gold, predicted)
    if gold.ndim != 1:
        raise ValueError(f"numbers must have the shape [examples], not {gold.shape}")
    return gold, predicted


def _f1(gold: np.ndarray, predicted: np.ndarray) -> float | None:
    """The F1 of booleans of one shape."""
    marked = np.count_nonzero(gold) + np.count_nonzero(predicted)
    return 2 * np.count_nonzero(gold & predicted) / marked if marked else None


def _no_spread(x: np.ndarray) -> bool:
    """Whether numbers have no correlation: there are none, one is not finite, or all are the same, rounded."""
    if not len(x) or not np.isfinite(x).all():
        return True
    epsilon = np.finfo(x.dtype).eps if x.dtype.kind == "f" else 0
    x = x.astype(np.float64)
    # Halved: the difference of the largest and the smallest number may be too large for a float.
    return bool(x.max() / 2 - x.min() / 2 <= ROUNDING * epsilon * np.abs(x).max() / 2)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = (_unit(one.astype(np.float64)) for one in (x, y))
    return float(np.clip(x @ y, -1, 1))


def _unit(x: np.ndarray) -> np.ndarray:
    """Centres numbers and scales them to a norm of 1, without overflow or underflow on the way."""
    x = x / np.abs(x).max()
    x = x - x.mean()
    x = x / np.abs(x).max()
    return x / np.linalg.norm(x)


def ranks(x: np.ndarray) -> np.ndarray:
    """Returns the rank of each number, float64 [examples], from 1; equal numbers share the mean of theirs."""
    _, places, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
