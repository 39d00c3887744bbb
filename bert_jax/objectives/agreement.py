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
    """The weight, means and centred products of pairs (x, y); `+` joins the moments of two batches.

    Sums of plain products would lose a spread that is small beside the mean (Chan, Golub & LeVeque 1983).

    Attributes:
      weight: float32 [].
      means: float32 [2], of x and y; 0 if the weight is 0.
      products: float32 [2, 2], the weighted sums of the products of x and y less their means.
    """

    weight: jax.Array
    means: jax.Array
    products: jax.Array

    @classmethod
    def of(cls, x: jax.Array, y: jax.Array, weights: jax.Array) -> "Moments":
        """Computes the moments of one batch; all arguments are float32 [...]."""
        pairs, weight = jnp.stack([x, y]), weights.sum()
        # What does not count may be any number, and would be lost from no difference of it.
        pairs = jnp.where(weights > 0, pairs, 0)
        means = _sum("i...,...->i", pairs, weights) / jnp.where(weight > 0, weight, 1)
        centred = pairs - means.reshape(2, *[1] * x.ndim)
        return cls(weight, means, _sum("i...,j...,...->ij", centred, centred, weights))

    def __add__(self, other: "Moments") -> "Moments":
        weight = self.weight + other.weight
        share = other.weight / jnp.where(weight > 0, weight, 1)
        apart = other.means - self.means
        between = jnp.outer(apart, apart) * (self.weight * share)
        return Moments(weight, self.means + share * apart, self.products + other.products + between)


def pearson(moments: Moments) -> float | None:
    """Computes Pearson's correlation; None if x or y is constant to within `ROUNDING`."""
    weight, means, products = (np.asarray(x, np.float64) for x in (moments.weight, moments.means, moments.products))
    variances = products.diagonal() / max(weight, 1e-30)
    if (variances <= ROUNDING * (means**2 + variances)).any():
        return None
    return float(products[0, 1] / np.sqrt(products[0, 0] * products[1, 1]))


def _sum(subscripts: str, *arrays: jax.Array) -> jax.Array:
    """A product of sums that is exact to float32 on every device: by default, a TPU would round to bfloat16."""
    return jnp.einsum(subscripts, *arrays, precision=jax.lax.Precision.HIGHEST)
