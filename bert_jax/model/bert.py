"""The encoder body, and the composites of it with heads: for pretraining, and for each kind of fine-tuning.

All take a batch of the schema in `bert_jax.batch` and `dropout_keys`, uint32 [B, S] from `dropout.token_keys`; none
means evaluation. The body is called `bert` in each, so that its parameters move from one composite to another whole.
C is the number of labels; logits are float32.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from bert_jax.batch import Batch
from bert_jax.errors import ConfigError
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import keys_at
from bert_jax.model.embeddings import Embeddings
from bert_jax.model.encoder import Encoder
from bert_jax.model.heads import LabelHead, MaskedLanguageModelHead
from bert_jax.model.pooling import Pooler, members


def layer_of(names: tuple[str, ...]) -> str:
    """The layer that a parameter of any composite belongs to, by its path: embeddings, layer_0, …, pooler, mlm, …"""
    inside = names[1:] if names[0] == "bert" else names
    return inside[1] if inside[0] == "encoder" else inside[0]


class Bert(nn.Module):
    """Embeddings, encoder and pooler (Devlin et al. 2018). Who never pools has no pooler among the parameters."""

    config: ModelConfig

    def setup(self):
        self.embeddings = Embeddings(self.config)
        self.encoder = Encoder(self.config)
        self.pooler = Pooler(self.config)

    def encode(self, batch: Batch, dropout_keys: jax.Array | None = None) -> jax.Array:
        """One vector for each token: [B, S, H]."""
        x = self.embeddings(batch, dropout_keys)
        return self.encoder(x, batch["sequence_ids"], dropout_keys)

    def pool(self, hidden: jax.Array, batch: Batch) -> jax.Array:
        """One vector for each example: [B, S, H] to [B, N, H]."""
        return self.pooler(hidden, batch)

    def word_table(self) -> jax.Array:
        """The word embeddings, [V, H], which the masked-language-model head shares."""
        return self.embeddings.word

    def __call__(self, batch: Batch, dropout_keys: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Hidden states [B, S, H] and pooled examples [B, N, H]."""
        hidden = self.encode(batch, dropout_keys)
        return hidden, self.pool(hidden, batch)


@flax.struct.dataclass
class PretrainingOutput:
    """What the pretraining model predicts.

    Attributes:
      mlm_logits: float32 [B, K, V], at the batch's masked positions.
      nsp_logits: float32 [B, N, 2], for each example: is next, is not.
      pooled: [B, N, H], one vector for each example.
      hidden: [B, S, H], the encoder's output.
    """

    mlm_logits: jax.Array
    nsp_logits: jax.Array
    pooled: jax.Array
    hidden: jax.Array


class BertForPretraining(nn.Module):
    """BERT with its two pretraining heads (Devlin et al. 2018)."""

    config: ModelConfig

    @nn.compact
    def __call__(self, batch: Batch, dropout_keys: jax.Array | None = None) -> PretrainingOutput:
        """Scores of words at the masked positions, and whether B follows A."""
        bert = Bert(self.config, name="bert")
        hidden, pooled = bert(batch, dropout_keys)
        mlm = MaskedLanguageModelHead(self.config, name="mlm")
        return PretrainingOutput(
            mlm_logits=mlm(hidden, batch["masked_positions"], bert.word_table()),
            nsp_logits=LabelHead(self.config, 2, name="nsp")(pooled, None),  # BERT drops nothing here
            pooled=pooled,
            hidden=hidden,
        )


class BertForSequenceClassification(nn.Module):
    """A label, or with C = 1 a number, for each example."""

    config: ModelConfig
    num_labels: int

    @nn.compact
    def __call__(self, batch: Batch, dropout_keys: jax.Array | None = None) -> jax.Array:
        """Logits [B, N, C]."""
        _, pooled = Bert(self.config, name="bert")(batch, dropout_keys)
        keys = keys_at(dropout_keys, batch["summary_positions"])
        return LabelHead(self.config, self.num_labels, name="classifier")(pooled, keys)


class BertForTokenClassification(nn.Module):
    """A label for each token."""

    config: ModelConfig
    num_labels: int

    @nn.compact
    def __call__(self, batch: Batch, dropout_keys: jax.Array | None = None) -> jax.Array:
        """Logits [B, S, C]."""
        hidden = Bert(self.config, name="bert").encode(batch, dropout_keys)
        return LabelHead(self.config, self.num_labels, name="classifier")(hidden, dropout_keys)


@flax.struct.dataclass
class SpanOutput:
    """Where an answer begins and ends (its last token), in positions of the row.

    Attributes:
      start_logits: float32 [B, N, S], for each example; the lowest number outside of it, so that a softmax over the
        row is one over the example.
      end_logits: the same for the end.
    """

    start_logits: jax.Array
    end_logits: jax.Array


class BertForSpans(nn.Module):
    """The begin and the end of a span in each example: extractive question answering."""

    config: ModelConfig

    @nn.compact
    def __call__(self, batch: Batch, dropout_keys: jax.Array | None = None) -> SpanOutput:
        """Scores of each token as begin and as end."""
        hidden = Bert(self.config, name="bert").encode(batch, dropout_keys)
        logits = LabelHead(self.config, 2, name="span")(hidden, None)  # BERT drops nothing here
        inside = members(batch)[..., None]
        logits = jnp.where(inside, logits[:, None], jnp.finfo(jnp.float32).min)
        return SpanOutput(start_logits=logits[..., 0], end_logits=logits[..., 1])


class BertForMultipleChoice(nn.Module):
    """One of C choices, each an example of its own: a question with one of its answers.

    The slots of a batch, row after row, are cut into questions of C slots: unpacked, C rows are a question; with
    N = C a row is one.
    """

    config: ModelConfig
    num_choices: int

    @nn.compact
    def __call__(self, batch: Batch, dropout_keys: jax.Array | None = None) -> jax.Array:
        """Logits [B · N / C, C].

        Raises:
          ConfigError: the slots do not make whole questions.
        """
        rows, slots = batch["summary_positions"].shape
        if rows * slots % self.num_choices:
            raise ConfigError(
                f"{rows} rows of {slots} examples do not make whole questions of {self.num_choices} choices:"
                " change the batch size."
            )
        _, pooled = Bert(self.config, name="bert")(batch, dropout_keys)
        keys = keys_at(dropout_keys, batch["summary_positions"])
        return LabelHead(self.config, 1, name="classifier")(pooled, keys).reshape(-1, self.num_choices)
