"""Self-attention within each example. `attend` is the one place where attention is computed: kernels go behind it."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.model import alibi
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import AttentionDropout
from bert_jax.model.layers import Dense, last_deviation
from bert_jax.model.layout import Layout
from bert_jax.model.local_attention import block_size, by_blocks
from bert_jax.model.norms import make_norm
from bert_jax.model.products import product
from bert_jax.model.rotary import rotate


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    layout: Layout,
    *,
    window: int | None = None,
    slopes: jax.Array | None = None,
    dropout: Callable[[jax.Array, jax.Array | None, jax.Array | None], jax.Array] = lambda probabilities, *_: (
        probabilities
    ),
    observe: Callable[[jax.Array], object] | None = None,
) -> jax.Array:
    """Computes softmax(query · keyᵀ − slope · distance) · value within each example (Vaswani et al. 2017).

    Args:
      query, key, value: [B, heads, S, head size], of the same dtype; the query is already scaled.
      layout: the layout of the rows.
      window: the tokens that are attended to on either side; None: all of the example.
      slopes: float32 [heads], see `alibi.slopes`; None: 0.
      dropout: maps probabilities [B, heads, …, queries, keys] and the dropout keys of both, [B, …, queries] and
        [B, …, keys], to probabilities.
      observe: is called with the probabilities before dropout, float32 [B, heads, S, S]; None if nobody looks.

    Returns:
      [B, heads, S, head size], in the dtype of the inputs.
    """

    def between(query: jax.Array, key: jax.Array, value: jax.Array, queries: Layout, keys: Layout) -> jax.Array:
        scores = product(query, key.mT)
        if slopes is not None:
            by_head = slopes.reshape(-1, *(1,) * (scores.ndim - 2))
            scores -= by_head * queries.distances(keys)
        scores = jnp.where(queries.mask(keys, window), scores, jnp.finfo(jnp.float32).min)
        probabilities = jax.nn.softmax(scores, axis=-1)
        if observe is not None:
            observe(probabilities)
        probabilities = dropout(probabilities.astype(value.dtype), queries.dropout_keys, keys.dropout_keys)
        return product(probabilities, value).astype(value.dtype)

    if window is None or observe is not None or query.shape[-2] <= 2 * block_size(window):
        return between(query, key, value, layout, layout)
    return by_blocks(between, query, key, value, layout, window)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017): [B, S, H] to [B, S, H].

    Attributes:
      config: the shape of the model.
      layer: the number of the layer, from 0.
    """

    config: ModelConfig
    layer: int

    @nn.compact
    def __call__(self, x: jax.Array, layout: Layout) -> jax.Array:
        config = self.config
        # One product for queries, keys and values. Heads come first, so that splitting them over devices splits it too.
        # With grouped queries, a head of keys and values comes with the queries that it serves.
        group = config.num_heads // config.kv_heads
        shape = (config.kv_heads, group + 2, config.head_size)
        dense = Dense(
            config, shape, ("embed",), ("heads", "qkv", "head"), bias=config.attention_bias, name="query_key_value"
        )
        projected = nn.with_logical_constraint(dense(x), ("batch", "sequence", "activation_heads", None, None))
        query = projected[..., :group, :].reshape(*x.shape[:2], config.num_heads, config.head_size).swapaxes(1, 2)
        key, value = (projected[..., group + part, :].swapaxes(1, 2) for part in range(2))  # [B, kv heads, S, head]
        if config.query_key_norm:
            query = make_norm(config, "query_norm", "head")(query)
            key = make_norm(config, "key_norm", "head")(key)
        if config.positions == "rotary":
            query, key = (rotate(config, part, layout.position_ids, self.layer) for part in (query, key))
        if group > 1:
            key, value = (jnp.repeat(part, group, axis=1) for part in (key, value))

        def keep(probabilities: jax.Array) -> None:
            self.sow("intermediates", "attention_map", probabilities)

        context = attend(
            query * config.head_size**-0.5,
            key,
            value,
            layout,
            window=config.window(self.layer),
            slopes=jnp.asarray(alibi.slopes(config.num_heads)) if config.positions == "alibi" else None,
            dropout=AttentionDropout(config.attention_dropout, name="dropout"),
            # Only on request, see `model/intermediates.py`.
            observe=keep if self.is_mutable_collection("intermediates") else None,
        ).swapaxes(-2, -3)
        return Dense(
            config,
            (config.hidden_size,),
            ("heads", "head"),
            ("embed",),
            bias=config.attention_bias,
            deviation=last_deviation(config),
            name="output",
        )(context)
