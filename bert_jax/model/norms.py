"""Normalisation. `make_norm` decides which kind a model has, everywhere in it."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.model.config import ModelConfig
from bert_jax.model.layers import ones, zeros


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis, in float32 (Ba et al. 2016)."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = x.shape[-1:]
        scale = self.param("scale", ones(("embed",)), shape)
        bias = self.param("bias", zeros(("embed",)), shape)
        x = x.astype(jnp.float32)
        centred = x - x.mean(-1, keepdims=True)
        inverse = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + self.config.layer_norm_epsilon)
        return (centred * inverse * scale + bias).astype(self.config.dtype)


def make_norm(config: ModelConfig, name: str | None = None) -> nn.Module:
    """Makes the module of a norm, [..., H] to [..., H]."""
    return LayerNorm(config, name=name)
