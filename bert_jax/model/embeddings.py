"""Word + segment + position embeddings."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.batch import Batch
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import Dropout
from bert_jax.model.layers import LayerNorm, weights, whole_width


def sinusoids(position_ids: jax.Array, size: int) -> jax.Array:
    """Sines and cosines of positions, [..., size] (Vaswani et al. 2017): even features sines, odd ones cosines."""
    frequency = 10_000.0 ** (-jnp.arange(0, size, 2) / size)
    angle = position_ids[..., None] * frequency
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(*position_ids.shape, size)


def fixed_positions(config: ModelConfig, position_ids: jax.Array) -> jax.Array:
    """What `positions=sinusoidal` adds: [..., H].

    Sinusoids as spread as the word table at its start (a sine's deviation is 1/√2): at full size they drown the words.
    """
    return config.initializer_range * 2**0.5 * sinusoids(position_ids, config.hidden_size)


class Embeddings(nn.Module):
    """The input of the encoder, and the table that the masked-language-model head shares."""

    config: ModelConfig

    def setup(self):
        config, size = self.config, self.config.hidden_size
        self.word = self.param("word", weights(config, ("vocab", "embed")), (config.vocab_size, size))
        self.segment = self.param("segment", weights(config, ("segments", "embed")), (config.num_segments, size))
        if config.positions == "learned":
            self.position = self.param(
                "position", weights(config, ("positions", "embed")), (config.max_positions, size)
            )
        self.layer_norm = LayerNorm(config)
        self.dropout = Dropout(config.dropout)

    def __call__(self, batch: Batch, keys: jax.Array | None) -> jax.Array:
        """[B, S, H] of the batch's tokens."""
        words = jnp.take(whole_width(self.word, ("vocab", "embed")), batch["token_ids"], axis=0)
        words = nn.with_logical_constraint(words, ("batch", "sequence", "activation_embed"))
        segments = whole_width(self.segment, ("segments", "embed"))
        x = words + jnp.take(segments, batch["segment_ids"], axis=0)
        if self.config.positions == "learned":
            # A small table: gathering it moves less than adding up what each device finds in its part.
            table = nn.with_logical_constraint(self.position, (None, None))
            x += jnp.take(table, batch["position_ids"], axis=0)
        elif self.config.positions == "sinusoidal":
            x += fixed_positions(self.config, batch["position_ids"])
        return self.dropout(self.layer_norm(x), keys)
