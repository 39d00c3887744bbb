"""What is predicted from the encoder's output."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import Dropout
from bert_jax.model.layers import Dense, LayerNorm, activation, whole_width, zeros
from bert_jax.model.products import product


class MaskedLanguageModelHead(nn.Module):
    """Scores of all words at the predicted positions only; the output matrix is the word table."""

    config: ModelConfig

    @nn.compact
    def __call__(self, hidden: jax.Array, masked_positions: jax.Array, word_table: jax.Array) -> jax.Array:
        """[B, S, H] and [B, K] to logits [B, K, V], float32."""
        config = self.config
        x = jnp.take_along_axis(hidden, masked_positions[..., None], axis=1)
        x = activation(config, Dense(config, (config.hidden_size,), ("embed",), ("embed_out",), name="transform")(x))
        x = nn.with_logical_constraint(x, ("batch", None, "activation_embed"))
        x = LayerNorm(config, name="norm")(x)
        bias = self.param("bias", zeros(("vocab",)), (config.vocab_size,))
        table = whole_width(word_table.astype(config.dtype), ("vocab", "embed"))
        flat = product(x.reshape(-1, config.hidden_size), table.T)
        logits = flat.astype(jnp.float32).reshape(*x.shape[:-1], -1) + bias
        # Over `tensor`, each device scores its own words; see `losses.py` for how they meet.
        return nn.with_logical_constraint(logits, ("batch", None, "activation_vocab"))


class LabelHead(nn.Module):
    """Scores of labels from one vector each: of an example, or of a token."""

    config: ModelConfig
    num_labels: int

    @nn.compact
    def __call__(self, x: jax.Array, keys: jax.Array | None) -> jax.Array:
        """[..., H] to logits [..., C], float32; `x` is dropped by `keys` [...], none means no dropout."""
        x = Dropout(self.config.dropout, name="dropout")(x, keys)
        return Dense(self.config, (self.num_labels,), ("embed",), ("labels",), name="dense")(x).astype(jnp.float32)
