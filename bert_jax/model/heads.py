"""The heads, which predict something from the output of the body (`Encoded`) and the batch. Logits are float32."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.batch import Batch
from bert_jax.model.composite import Encoded
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import Dropout, keys_at
from bert_jax.model.feed_forward import activation
from bert_jax.model.layers import Dense, last_deviation, weights, whole_width, zeros
from bert_jax.model.norms import make_norm
from bert_jax.model.pooling import embed, members
from bert_jax.model.products import product


def transform(config: ModelConfig, x: jax.Array, has_transform: bool) -> jax.Array:
    """Applies the linear layer, activation and norm at the beginning of a head, as its parts: [..., H] to [..., H]."""
    if not has_transform:
        return x
    deviation = last_deviation(config) if config.initializer == "modernbert" else None
    size, bias = (config.hidden_size,), config.head_bias
    x = Dense(config, size, ("embed",), ("embed_out",), "float32", bias, deviation, name="transform")(x)
    x = nn.with_logical_constraint(activation(config, x), ("batch", *(None,) * (x.ndim - 2), "activation_embed"))
    return make_norm(config, "norm")(x)


class MaskedWordsHead(nn.Module):
    """Scores all words, at the predicted positions only; the output matrix is the word table, or one of its own."""

    config: ModelConfig

    @nn.compact
    def __call__(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """Returns logits [B, K, V] at `masked_positions` [B, K]."""
        config = self.config
        x = jnp.take_along_axis(encoded.hidden, batch["masked_positions"][..., None], axis=1)
        x = transform(config, x, config.head_transform != "none")
        table, axes = encoded.word_table, ("vocab", "embed")
        if not config.tied_output:
            table = self.param("output", weights(config, axes), table.shape)
        bias = self.param("bias", zeros(("vocab",)), (config.vocab_size,)) if config.output_bias else 0.0
        table = whole_width(table.astype(config.dtype), axes)
        logits = product(x.reshape(-1, config.hidden_size), table.T).reshape(*x.shape[:-1], -1) + bias
        if config.logit_cap is not None:
            logits = config.logit_cap * jnp.tanh(logits / config.logit_cap)
        # With `tensor`, each device scores its own words. `losses.py` reduces over them without gathering the logits.
        return nn.with_logical_constraint(logits, ("batch", None, "activation_vocab"))


class ExampleLabelsHead(nn.Module):
    """Scores C labels for each example, from its pooled vector after `dropout`."""

    config: ModelConfig
    num_labels: int
    dropout: float

    @nn.compact
    def __call__(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """Returns logits [B, N, C]."""
        keys = keys_at(encoded.dropout_keys, batch["cls_positions"])
        x = transform(self.config, encoded.pooled(), self.config.head_transform == "all")
        x = Dropout(self.dropout, name="dropout")(x, keys)
        return _labels(self.config, self.num_labels)(x).astype(jnp.float32)


class TokenLabelsHead(nn.Module):
    """Scores C labels for each token, from its vector after `dropout`."""

    config: ModelConfig
    num_labels: int
    dropout: float

    @nn.compact
    def __call__(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """Returns logits [B, S, C]."""
        x = transform(self.config, encoded.hidden, self.config.head_transform == "all")
        x = Dropout(self.dropout, name="dropout")(x, encoded.dropout_keys)
        return _labels(self.config, self.num_labels)(x).astype(jnp.float32)


def _labels(config: ModelConfig, num_labels: int) -> Dense:
    deviation = config.hidden_size**-0.5 if config.initializer == "modernbert" else None
    return Dense(config, (num_labels,), ("embed",), ("labels",), deviation=deviation, name="dense")


class SpanLogits(NamedTuple):
    """Logits of the first and the last token of a span, over the positions of the row.

    Attributes:
      start: float32 [B, N, S], for each example. Outside of the example it is the lowest float, so that a softmax over
        the row is a softmax over the example.
      end: the same for the last token.
    """

    start: jax.Array
    end: jax.Array


class SpansHead(nn.Module):
    """Scores each token as the start and as the end of a span in its example."""

    config: ModelConfig

    @nn.compact
    def __call__(self, encoded: Encoded, batch: Batch) -> SpanLogits:
        """Returns the logits; like BERT, without dropout."""
        x = transform(self.config, encoded.hidden, self.config.head_transform == "all")
        logits = _labels(self.config, 2)(x).astype(jnp.float32)
        logits = jnp.where(members(batch)[..., None], logits[:, None], jnp.finfo(jnp.float32).min)
        return SpanLogits(logits[..., 0], logits[..., 1])


class PooledHead(nn.Module):
    """Returns the pooled vectors themselves, for objectives that compare examples. It has no parameters."""

    @nn.compact
    def __call__(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """Returns [B, N, H]."""
        return encoded.pooled()


class EmbeddingsHead(nn.Module):
    """Returns the embedding of each example, pooled as `ModelConfig.pooling` says. It has no parameters.

    `cls` is the first token without BERT's tanh layer, so that folders of sentence-transformers can express it.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """Returns float32 [B, N, H], not normalised."""
        return embed(encoded.hidden, batch, self.config.pooling)
