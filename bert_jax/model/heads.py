"""What is predicted from the encoder's output."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.model.config import ModelConfig
from bert_jax.model.layers import Dense, LayerNorm, activation, zeros


class MaskedLanguageModelHead(nn.Module):
    """Scores of all words at the predicted positions only; the output matrix is the word table."""

    config: ModelConfig

    @nn.compact
    def __call__(self, hidden: jax.Array, masked_positions: jax.Array, word_table: jax.Array) -> jax.Array:
        """[B, S, H] and [B, K] to logits [B, K, V], float32."""
        config = self.config
        x = jnp.take_along_axis(hidden, masked_positions[..., None], axis=1)
        x = activation(config, Dense(config, (config.hidden_size,), ("embed",), ("embed_out",), name="transform")(x))
        x = LayerNorm(config, name="norm")(x)
        bias = self.param("bias", zeros(("vocab",)), (config.vocab_size,))
        flat = x.reshape(-1, config.hidden_size) @ word_table.astype(config.dtype).T
        return flat.astype(jnp.float32).reshape(*x.shape[:-1], -1) + bias


class NextSentenceHead(nn.Module):
    """Two scores for each example: B follows A, or not."""

    config: ModelConfig

    @nn.compact
    def __call__(self, pooled: jax.Array) -> jax.Array:
        """[B, N, H] to logits [B, N, 2], float32."""
        return Dense(self.config, (2,), ("embed",), ("labels",), name="dense")(pooled).astype(jnp.float32)
