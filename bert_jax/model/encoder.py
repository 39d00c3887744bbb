"""The Transformer encoder: self-attention within each example, feed-forward, residuals with layer norms."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import AttentionDropout, Dropout
from bert_jax.model.layers import Dense, LayerNorm, activation
from bert_jax.model.products import product


def attention_mask(sequence_ids: jax.Array) -> jax.Array:
    """True where a token may look at another one: [B, 1, S, S], queries then keys.

    Padding (0) sees padding only, so no row of the softmax is empty and no example sees padding.
    """
    return (sequence_ids[:, :, None] == sequence_ids[:, None, :])[:, None]


class SelfAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017)."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, keys: jax.Array | None) -> jax.Array:
        config = self.config
        # One product for queries, keys and values. Heads come first, so that cutting them over devices cuts this too.
        shape = (config.num_heads, 3, config.head_size)
        projected = Dense(config, shape, ("embed",), ("heads", "qkv", "head"), name="query_key_value")(x)
        projected = nn.with_logical_constraint(projected, ("batch", "sequence", "activation_heads", None, None))
        query, key, value = (projected[..., part, :].swapaxes(-2, -3) for part in range(3))  # [B, heads, S, head]
        scores = product(query * config.head_size**-0.5, key.mT).astype(jnp.float32)
        probabilities = jax.nn.softmax(jnp.where(mask, scores, jnp.finfo(jnp.float32).min), axis=-1)
        self.sow("intermediates", "attention_map", probabilities)  # kept only if asked for: `model/intermediates.py`
        probabilities = AttentionDropout(config.attention_dropout, name="dropout")(
            probabilities.astype(config.dtype), keys
        )
        context = product(probabilities, value).swapaxes(-2, -3)
        return Dense(config, (config.hidden_size,), ("heads", "head"), ("embed",), name="output")(context)


class FeedForward(nn.Module):
    """Two layers with a GELU between them."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        config = self.config
        x = activation(config, Dense(config, (config.feed_forward_size,), ("embed",), ("mlp",), name="intermediate")(x))
        x = nn.with_logical_constraint(x, ("batch", "sequence", "activation_mlp"))
        return Dense(config, (config.hidden_size,), ("mlp",), ("embed",), name="output")(x)


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each with dropout, a residual and a layer norm after the sum or before the block."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array, keys: jax.Array | None) -> jax.Array:
        config = self.config

        def residual(name: str, block: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
            norm = LayerNorm(config, name=f"{name}_norm")
            dropout = Dropout(config.dropout, name=f"{name}_dropout")
            if config.norm_position == "pre":
                return x + dropout(block(norm(x)), keys)
            return norm(x + dropout(block(x), keys))

        attention = SelfAttention(config, name="attention")
        x = residual("attention", lambda y: attention(y, mask, keys), x)
        return residual("feed_forward", FeedForward(config, name="feed_forward"), x)


class Encoder(nn.Module):
    """The stack of layers. Unrolled: on CPU it runs 1.4 times as fast as a scan over layers."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array, sequence_ids: jax.Array, keys: jax.Array | None) -> jax.Array:
        """[B, S, H] to [B, S, H]."""
        config = self.config
        mask = attention_mask(sequence_ids)
        layer_class = nn.remat(EncoderLayer) if config.remat else EncoderLayer
        self.sow("intermediates", "hidden_states", x)
        for layer in range(config.num_layers):
            x = layer_class(config, name=f"layer_{layer}")(x, mask, keys)
            x = nn.with_logical_constraint(x, ("batch", "sequence", "activation_embed"))
            self.sow("intermediates", "hidden_states", x)
        # Without a norm after the last sum, the residual stream would leave at whatever size it has grown to.
        return LayerNorm(config, name="final_norm")(x) if config.norm_position == "pre" else x
