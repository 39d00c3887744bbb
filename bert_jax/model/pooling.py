"""Pooling to one vector per example, regardless of padding and of other examples in the row."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.batch import Batch
from bert_jax.model.config import ModelConfig
from bert_jax.model.layers import Dense


def members(batch: Batch) -> jax.Array:
    """Returns True where a token belongs to an example: [B, N, S]."""
    slots = batch["cls_positions"].shape[1]
    return batch["example_ids"][:, None, :] == jnp.arange(1, slots + 1)[None, :, None]


def mean_pool(hidden: jax.Array, batch: Batch) -> jax.Array:
    """Averages the tokens of each example, special tokens included: [B, N, H]; zeros for unused slots."""
    inside = members(batch)
    total = jnp.einsum("bns,bsh->bnh", inside.astype(hidden.dtype), hidden, preferred_element_type=jnp.float32)
    # Cast to the dtype only now: bfloat16 cannot tell 259 tokens from 260.
    return (total / jnp.maximum(inside.sum(-1, keepdims=True), 1)).astype(hidden.dtype)


def max_pool(hidden: jax.Array, batch: Batch) -> jax.Array:
    """Takes the maximum of each feature over the tokens of each example: [B, N, H]; zeros for unused slots."""
    inside = members(batch)[..., None]
    largest = jnp.where(inside, hidden[:, None], jnp.finfo(hidden.dtype).min).max(axis=2)
    return jnp.where(inside.any(axis=2), largest, 0)


def embed(hidden: jax.Array, batch: Batch, pooling: str) -> jax.Array:
    """Pools [B, S, H] to the embedding of each example, float32 [B, N, H], without parameters of its own.

    `mean` and `max` are over its tokens; `cls` is its first token as it is, as in sentence-transformers.
    """
    if pooling == "cls":
        vectors = jnp.take_along_axis(hidden, batch["cls_positions"][..., None], axis=1)
    else:
        vectors = {"mean": mean_pool, "max": max_pool}[pooling](hidden, batch)
    return vectors.astype(jnp.float32)


class Pooler(nn.Module):
    """Pooling as configured: `cls`, `max` or `mean`."""

    config: ModelConfig

    @nn.compact
    def __call__(self, hidden: jax.Array, batch: Batch) -> jax.Array:
        """Pools [B, S, H] to [B, N, H]."""
        config = self.config
        if config.pooling == "max":
            return max_pool(hidden, batch)
        if config.pooling == "mean":
            return mean_pool(hidden, batch)
        first = jnp.take_along_axis(hidden, batch["cls_positions"][..., None], axis=1)
        if config.head_transform == "all":
            return first
        return jnp.tanh(Dense(config, (config.hidden_size,), ("embed",), ("pooled",), name="dense")(first))
