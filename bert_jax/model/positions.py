"""The position embeddings that `ModelConfig.positions` chooses from, which are added to the words.

Positions that act inside attention are in `rotary.py` and `alibi.py`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.model.config import ModelConfig
from bert_jax.model.layers import weights


def sinusoids(position_ids: jax.Array, size: int) -> jax.Array:
    """Computes sines (even features) and cosines (odd features) of positions, [..., size] (Vaswani et al. 2017)."""
    frequency = 10_000.0 ** (-jnp.arange(0, size, 2) / size)
    angle = position_ids[..., None] * frequency
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(*position_ids.shape, size)


def fixed_positions(config: ModelConfig, position_ids: jax.Array) -> jax.Array:
    """Returns what `positions=sinusoidal` adds to the words: [..., H].

    The sinusoids are scaled to the standard deviation of the initial word table (that of a sine is 1/√2). At full size
    they would drown out the words.
    """
    return config.initializer_range * 2**0.5 * sinusoids(position_ids, config.hidden_size)


def position_table(module: nn.Module, config: ModelConfig) -> jax.Array | None:
    """Declares the parameter `position` [max_positions, H] of `module`; None unless positions are learned."""
    if config.positions != "learned":
        return None
    shape = (config.max_positions, config.hidden_size)
    return module.param("position", weights(config, ("positions", "embed")), shape)


def add_positions(config: ModelConfig, x: jax.Array, table: jax.Array | None, position_ids: jax.Array) -> jax.Array:
    """Adds positions [B, S] to token vectors `x` [B, S, H]; `table` is the result of `position_table`."""
    if table is not None:
        # Gathering this small table moves less data than summing what each device looks up in its own part.
        return x + jnp.take(nn.with_logical_constraint(table, (None, None)), position_ids, axis=0)
    if config.positions == "sinusoidal":
        return x + fixed_positions(config, position_ids)
    return x
