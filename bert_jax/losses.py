"""Losses and accuracies as sums and weights, so that they add up over rows, devices and batches."""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Mean:
    """A mean that is not divided yet: the sum of weighted values and the sum of weights, scalars."""

    total: jax.Array
    weight: jax.Array

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.weight + other.weight)

    @property
    def value(self) -> jax.Array:
        """The mean; 0 where nothing was weighted."""
        return self.total / jnp.where(self.weight > 0, self.weight, 1)


def mean(values: jax.Array, weights: jax.Array) -> Mean:
    """The weighted mean of values [...] under weights of the same shape."""
    return Mean((values * weights).sum(), weights.sum())


def means_by_group(values: jax.Array, weights: jax.Array, groups: jax.Array, names: tuple[str, ...]) -> dict[str, Mean]:
    """The same for each group: `groups` [...] holds indices into `names`."""
    return {name: mean(values, weights * (groups == i)) for i, name in enumerate(names)}


def cross_entropies(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """−log softmax(logits)[label] over the last axis of float32 `logits` [..., C]; labels and result [...]."""
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def hits(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """True [...] where no logit is larger than the label's (on CPU ten times as fast as `argmax`)."""
    chosen = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return chosen >= logits.max(-1)
