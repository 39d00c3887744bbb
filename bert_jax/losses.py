"""Losses and metrics as weighted sums, which add up over rows, devices and batches."""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class WeightedSum:
    """The numerator and denominator of a weighted mean.

    Attributes:
      total: float32 [], the sum of the weighted values.
      weight: float32 [], the sum of the weights.
    """

    total: jax.Array
    weight: jax.Array

    def __add__(self, other: "WeightedSum") -> "WeightedSum":
        return WeightedSum(self.total + other.total, self.weight + other.weight)

    @property
    def mean(self) -> jax.Array:
        """The weighted mean; 0 if the weight is 0."""
        return self.total / jnp.where(self.weight > 0, self.weight, 1)


@flax.struct.dataclass
class Loss:
    """A term of the training loss: coefficient · mean."""

    sum: WeightedSum
    coefficient: float = flax.struct.field(pytree_node=False, default=1.0)


@flax.struct.dataclass
class Outcome:
    """The result of a loss function on a batch. Every part adds up over batches.

    Attributes:
      losses: terms of the training loss by name; their sum is minimised.
      metrics: further means to log.
    """

    losses: dict[str, Loss]
    metrics: dict[str, WeightedSum]

    def __add__(self, other: "Outcome") -> "Outcome":
        return jax.tree.map(jnp.add, self, other)

    @property
    def means(self) -> dict[str, jax.Array]:
        """The mean of each loss and each metric, by name."""
        sums = {name: loss.sum for name, loss in self.losses.items()} | self.metrics
        return {name: one.mean for name, one in sums.items()}


def weighted_sum(values: jax.Array, weights: jax.Array) -> WeightedSum:
    """Sums values [...] with weights of the same shape."""
    return WeightedSum((values * weights).sum(), weights.sum())


def weighted_sums_by_group(
    values: jax.Array, weights: jax.Array, groups: jax.Array, names: tuple[str, ...]
) -> dict[str, WeightedSum]:
    """Sums values for each group separately; `groups` [...] holds indices into `names`."""
    return {name: weighted_sum(values, weights * (groups == i)) for i, name in enumerate(names)}


def cross_entropies(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Computes −log softmax(logits)[label] over the last axis of float32 `logits` [..., C] for `labels` [...]."""
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def hits(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns True [...] where the label is `argmax(logits)`, the first of equal ones (on CPU, four times as fast)."""
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1)
    before = jnp.arange(logits.shape[-1]) < labels[..., None]
    return jnp.where(before, chosen > logits, chosen >= logits).all(-1)
