"""Measures of agreement between predictions and labels, from counts and moments that add up over batches."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

# Of float32 values, relative to their mean square: a variance below is that of a constant, rounded.
ROUNDING = 1e-12


def class_counts(said: jax.Array, gold: jax.Array, weights: jax.Array) -> dict[str, jax.Array]:
    """Counts how often each label was predicted correctly (`hit`), predicted (`said`) and true (`gold`).

    Args:
      said, gold: bool [..., C], the predictions and the labels.
      weights: float32 [...].

    Returns:
      float32 [C] by name.
    """
    sums = {"hit": said & gold, "said": said, "gold": gold}
    return {name: _sum("...c,...->c", x.astype(jnp.float32), weights) for name, x in sums.items()}


def macro_f1(hit: np.ndarray, said: np.ndarray, gold: np.ndarray) -> float | None:
    """Computes the mean F1 over the labels predicted or true at least once, as scikit-learn does; counts are [C].

    None if no label is.
    """
    occurs = said + gold > 0
    return float((2 * hit[occurs] / (said + gold)[occurs]).mean()) if occurs.any() else None


def majority(gold: np.ndarray) -> tuple[float, float | None]:
    """Computes the accuracy and the macro-F1 of always predicting the most frequent row of `gold` [examples, C]."""
    rows, counts = np.unique(gold, axis=0, return_counts=True)
    said = np.broadcast_to(rows[counts.argmax()], gold.shape)
    return float(counts.max() / len(gold)), macro_f1((said * gold).sum(0), said.sum(0), gold.sum(0))


@flax.struct.dataclass
class Moments:
    """The sums of pairs (x, y), of their products, and of their weights; `+` joins those of two batches.

    They are sums of differences from a centre: in float32, those of the numbers themselves would lose a spread that is
    small beside the mean.

    Attributes:
      weight: float32 [].
      centre: float32 [2], near the means of x and y.
      sums: float32 [2], of the differences.
      products: float32 [2, 2], of the differences.
    """

    weight: jax.Array
    centre: jax.Array
    sums: jax.Array
    products: jax.Array

    @classmethod
    def of(cls, x: jax.Array, y: jax.Array, weights: jax.Array) -> "Moments":
        """Computes the moments of one batch; all arguments are float32 [...]."""
        pairs, weight = jnp.stack([x, y]), weights.sum()
        pairs = jnp.where(weights > 0, pairs, 0)  # where nothing counts, anything may stand
        centre = _sum("i...,...->i", pairs, weights) / jnp.where(weight > 0, weight, 1)
        apart = pairs - centre.reshape(2, *[1] * x.ndim)
        return cls(
            weight, centre, _sum("i...,...->i", apart, weights), _sum("i...,j...,...->ij", apart, apart, weights)
        )

    def about(self, centre: jax.Array) -> "Moments":
        """Returns the same moments as differences from another centre."""
        apart = self.centre - centre
        mixed = jnp.outer(apart, self.sums)
        products = self.products + mixed + mixed.T + self.weight * jnp.outer(apart, apart)
        return Moments(self.weight, centre, self.sums + self.weight * apart, products)

    def __add__(self, other: "Moments") -> "Moments":
        centre = jnp.where(self.weight > 0, self.centre, other.centre)
        return jax.tree.map(jnp.add, self.about(centre), other.about(centre)).replace(centre=centre)


def pearson(moments: Moments) -> float | None:
    """Computes Pearson's correlation; None if nothing counts, or x or y is constant to within `ROUNDING`."""
    weight, centre, sums, products = (
        np.asarray(getattr(moments, name), np.float64) for name in ("weight", "centre", "sums", "products")
    )
    if not weight:
        return None
    means = sums / weight
    covariance = products / weight - np.outer(means, means)
    variances = covariance.diagonal()
    if (variances <= ROUNDING * ((centre + means) ** 2 + variances)).any():
        return None
    return float(covariance[0, 1] / np.sqrt(variances[0] * variances[1]))


def _sum(subscripts: str, *arrays: jax.Array) -> jax.Array:
    """Sums products in float32 on every device; by default, a TPU would round them to bfloat16."""
    return jnp.einsum(subscripts, *arrays, precision=jax.lax.Precision.HIGHEST)
