"""The linear layer that everything else is built from, and initialisers. Parameters have logical axis names.

Logical axes: vocab, embed (hidden width), heads, qkv, head, mlp (feed-forward width), positions, token_types, labels.
`bert_jax.sharding` maps them to the mesh.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.model.config import ModelConfig
from bert_jax.model.products import product

# Makes an array boxed with its axis names. It is not typed as such, since `Module.param` returns the array itself.
Initializer = Callable[..., Any]


def weights(config: ModelConfig, axes: Sequence[str], deviation: float | None = None) -> Initializer:
    """Returns the initialiser of weights for an array with these logical axes; None: with BERT's deviation."""
    return _named(nn.initializers.truncated_normal(deviation or config.initializer_range), axes)


def last_deviation(config: ModelConfig) -> float:
    """Returns the initial deviation of the last layer of a block, whose output is added to the residual stream."""
    if config.initializer == "normal":
        return config.initializer_range
    # So that a sum over 2 L blocks has the deviation of one (Radford et al. 2019; Shoeybi et al. 2019).
    return config.initializer_range / (2 * config.num_layers) ** 0.5


def zeros(axes: Sequence[str]) -> Initializer:
    """Returns an initialiser with zeros, for an array with these logical axes."""
    return _named(nn.initializers.zeros, axes)


def ones(axes: Sequence[str]) -> Initializer:
    """Returns an initialiser with ones, for an array with these logical axes."""
    return _named(nn.initializers.ones, axes)


def _named(initializer: Initializer, axes: Sequence[str]) -> Initializer:
    return nn.with_logical_partitioning(initializer, tuple(axes))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def whole_width(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """Gathers a parameter with these axes over the devices that its width is split over, for use in a product.

    Its gradient is split again where it is computed, so that each device sums its own part only. By default, JAX would
    keep the whole gradient on all of them.
    """
    return nn.with_logical_constraint(x, tuple(None if axis == "embed" else axis for axis in axes))


def _gather(x: jax.Array, axes: tuple[str, ...]) -> tuple[jax.Array, None]:
    return whole_width(x, axes), None


def _scatter(axes: tuple[str, ...], _: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (nn.with_logical_constraint(gradient, axes),)


whole_width.defvjp(_gather, _scatter)


class Dense(nn.Module):
    """Computes y = x · kernel + bias, contracting the last axis or axes of x.

    Attributes:
      config: the shape of the model.
      output_shape: the axes of y that replace the contracted axes of x.
      input_axes, output_axes: logical names; as many axes of x are contracted as there are input names.
      output_dtype: of y; None: that of the model.
      bias: whether there is a bias.
      deviation: of the initial kernel; None: `ModelConfig.initializer_range`.
    """

    config: ModelConfig
    output_shape: tuple[int, ...]
    input_axes: tuple[str, ...]
    output_axes: tuple[str, ...]
    output_dtype: str | None = None
    bias: bool = True
    deviation: float | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        lead, contracted = x.shape[: -len(self.input_axes)], x.shape[-len(self.input_axes) :]
        shape, axes = (*contracted, *self.output_shape), (*self.input_axes, *self.output_axes)
        dtype = jnp.dtype(self.config.dtype)
        kernel = self.param("kernel", weights(self.config, axes, self.deviation), shape)
        bias = self.param("bias", zeros(self.output_axes), self.output_shape).reshape(-1) if self.bias else 0.0
        # Each device needs all of what `fsdp` splits, but only its own part of what `tensor` splits.
        kernel = whole_width(kernel.astype(dtype), axes)
        # In two dimensions: on CPU, products with three axes are slower.
        kernel = kernel.reshape(int(np.prod(contracted)), -1)
        # In float32, so that the gradient of the bias is summed in float32, too.
        y = product(x.astype(dtype).reshape(-1, kernel.shape[0]), kernel) + bias
        return y.astype(self.output_dtype or dtype).reshape(*lead, *self.output_shape)
