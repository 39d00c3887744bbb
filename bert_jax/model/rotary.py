"""Rotary positions (Su et al. 2021, arXiv 2104.09864): queries and keys are rotated in proportion to position."""

import jax
import jax.numpy as jnp

from bert_jax.model.config import ModelConfig


def rotary_base(config: ModelConfig, layer: int) -> float:
    """Returns the base of the frequencies in a layer, which depends on whether the layer has a window."""
    local = config.local_rotary_base
    return config.rotary_base if local is None or config.window(layer) is None else local


def rotate(config: ModelConfig, x: jax.Array, position_ids: jax.Array, layer: int) -> jax.Array:
    """Rotates queries or keys [B, heads, S, head size] to their positions [B, S].

    Feature i of the first half of the rotated part forms a plane with feature i of the second half, as in GPT-NeoX and
    `transformers`; RoFormer and NeoBERT pair neighbours, which is the same model with its features in another order.
    The angle of plane i is position / rotary_scale · base^(−2 i / rotated size), in float32.
    """
    size = config.rotated_size
    frequency = rotary_base(config, layer) ** (-jnp.arange(0, size, 2, dtype=jnp.float32) / size)
    angle = (position_ids.astype(jnp.float32) / config.rotary_scale)[:, None, :, None] * frequency
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    first, second, rest = jnp.split(x.astype(jnp.float32), [size // 2, size], axis=-1)
    rotated = [first * cos - second * sin, second * cos + first * sin, rest]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)
