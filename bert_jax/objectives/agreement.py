"""Measures of agreement between predictions and labels, from counts and moments that add up over batches."""

import jax
import jax.numpy as jnp
import numpy as np

ROUNDING = 1e-6  # of float32 sums, relative to the mean square; a smaller variance is noise


def class_counts(said: jax.Array, gold: jax.Array, weights: jax.Array) -> dict[str, jax.Array]:
    """Counts how often each label was predicted correctly (`hit`), predicted (`said`) and true (`gold`).

    Args:
      said, gold: bool [..., C], the predictions and the labels.
      weights: float32 [...].

    Returns:
      float32 [C] by name.
    """
    sums = {"hit": said & gold, "said": said, "gold": gold}
    return {name: jnp.einsum("...c,...->c", x.astype(jnp.float32), weights) for name, x in sums.items()}


def macro_f1(hit: np.ndarray, said: np.ndarray, gold: np.ndarray) -> float:
    """Computes the mean F1 over the labels predicted or true at least once, as scikit-learn does; counts are [C]."""
    occurs = said + gold > 0
    return float((2 * hit[occurs] / (said + gold)[occurs]).mean())


def majority(gold: np.ndarray) -> tuple[float, float]:
    """Computes the accuracy and the macro-F1 of always predicting the most frequent row of `gold` [examples, C]."""
    rows, counts = np.unique(gold, axis=0, return_counts=True)
    said = np.broadcast_to(rows[counts.argmax()], gold.shape)
    return float(counts.max() / len(gold)), macro_f1((said * gold).sum(0), said.sum(0), gold.sum(0))


def moments(x: jax.Array, y: jax.Array, weights: jax.Array) -> jax.Array:
    """Computes the weighted sums of all products of 1, x and y: float32 [3, 3]; arguments are [...]."""
    terms = jnp.stack([jnp.ones_like(x), x, y])
    return jnp.einsum("i...,j...,...->ij", terms, terms, weights)


def pearson(sums: np.ndarray) -> float | None:
    """Computes Pearson's correlation from `moments`; None if x or y is constant to within `ROUNDING`."""
    sums = np.asarray(sums, np.float64)
    means = sums[0, 1:] / sums[0, 0]
    squares = sums[1:, 1:] / sums[0, 0]
    covariance = squares - np.outer(means, means)
    if (covariance.diagonal() <= ROUNDING * squares.diagonal()).any():
        return None
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
