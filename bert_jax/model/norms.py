"""Normalisation. `make_norm` decides which kind a model has, everywhere in it."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.model.config import ModelConfig
from bert_jax.model.layers import ones, zeros


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis, in float32 (Ba et al. 2016), with a bias or without."""

    config: ModelConfig
    axis: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = x.shape[-1:]
        scale = self.param("scale", ones((self.axis,)), shape)
        bias = self.param("bias", zeros((self.axis,)), shape) if self.config.norm_bias else 0.0
        x = x.astype(jnp.float32)
        centred = x - x.mean(-1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + self.config.layer_norm_epsilon)
        return (centred * inverse * scale + bias).astype(self.config.dtype)


class RmsNorm(nn.Module):
    """Division by the root mean square over the last axis, in float32 (Zhang & Sennrich 2019)."""

    config: ModelConfig
    axis: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", ones((self.axis,)), x.shape[-1:])
        x = x.astype(jnp.float32)
        inverse = jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + self.config.layer_norm_epsilon)
        return (x * inverse * scale).astype(self.config.dtype)


def make_norm(config: ModelConfig, name: str | None = None, axis: str = "embed") -> nn.Module:
    """Makes the module of a norm over the last axis, whose logical name is `axis`."""
    kind = {"layer": LayerNorm, "rms": RmsNorm}[config.norm]
    return kind(config, axis, name=name)
