"""The linear layer and the layer norm that everything else is made of, with their axes named.

Logical axes: vocab, embed (hidden width), heads, qkv, head, mlp (feed-forward width), positions, segments, labels;
`bert_jax.sharding` maps them to the mesh.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.model.config import ModelConfig
from bert_jax.model.products import product


def weights(config: ModelConfig, axes: Sequence[str]):
    """BERT's initialiser, with the logical names of the array's axes."""
    initializer = nn.initializers.truncated_normal(config.initializer_range)
    return nn.with_logical_partitioning(initializer, tuple(axes))


def zeros(axes: Sequence[str]):
    """An initialiser of zeros, with the logical names of the array's axes."""
    return nn.with_logical_partitioning(nn.initializers.zeros, tuple(axes))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def whole_width(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """A parameter of these axes as a product takes it: gathered over the devices that its width is cut over.

    Its gradient is cut again where it is made, so that each device adds up its own part only; jax would have the whole
    of it on all of them.
    """
    return nn.with_logical_constraint(x, tuple(None if axis == "embed" else axis for axis in axes))


def _gather(x: jax.Array, axes: tuple[str, ...]) -> tuple[jax.Array, None]:
    return whole_width(x, axes), None


def _scatter(axes: tuple[str, ...], _: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (nn.with_logical_constraint(gradient, axes),)


whole_width.defvjp(_gather, _scatter)


class Dense(nn.Module):
    """y = x · kernel + bias over the last axis of x, or its last axes together.

    Attributes:
      output_shape: the axes of y in place of the last one of x.
      input_axes, output_axes: logical names; as many input axes of x are contracted as there are names.
    """

    config: ModelConfig
    output_shape: tuple[int, ...]
    input_axes: tuple[str, ...]
    output_axes: tuple[str, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        lead, contracted = x.shape[: -len(self.input_axes)], x.shape[-len(self.input_axes) :]
        shape = (*contracted, *self.output_shape)
        dtype = jnp.dtype(self.config.dtype)
        kernel = self.param("kernel", weights(self.config, (*self.input_axes, *self.output_axes)), shape)
        bias = self.param("bias", zeros(self.output_axes), self.output_shape)
        # Each device takes the whole of what `fsdp` cuts, and no more than its part of what `tensor` cuts.
        kernel = whole_width(kernel.astype(dtype), (*self.input_axes, *self.output_axes))
        # Two-dimensional: on CPU, products of three axes are slower.
        kernel = kernel.reshape(int(np.prod(contracted)), -1)
        y = product(x.astype(dtype).reshape(-1, kernel.shape[0]), kernel)
        # Repeated first, then cast, so that its gradient is summed in float32: exact, and on CPU 40 times as fast.
        y += jnp.broadcast_to(bias.reshape(-1), y.shape).astype(dtype)
        return y.reshape(*lead, *self.output_shape)


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis, in float32 (Ba et al. 2016)."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = x.shape[-1:]
        scale = self.param("scale", nn.with_logical_partitioning(nn.initializers.ones, ("embed",)), shape)
        bias = self.param("bias", zeros(("embed",)), shape)
        x = x.astype(jnp.float32)
        centred = x - x.mean(-1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + self.config.layer_norm_epsilon)
        return (centred * inverse * scale + bias).astype(self.config.dtype)


def activation(config: ModelConfig, x: jax.Array) -> jax.Array:
    """GELU, exact or by tanh (Hendrycks & Gimpel 2016)."""
    return jax.nn.gelu(x, approximate=config.activation == "gelu_tanh")
