"""The composites: encoder with a pooler, and the pretraining model."""

import flax.linen as nn
import flax.struct
import jax

from bert_jax.batch import Batch
from bert_jax.model.config import ModelConfig
from bert_jax.model.embeddings import Embeddings
from bert_jax.model.encoder import Encoder
from bert_jax.model.heads import MaskedLanguageModelHead, NextSentenceHead
from bert_jax.model.pooling import Pooler


@flax.struct.dataclass
class PretrainingOutput:
    """What the pretraining model predicts.

    Attributes:
      mlm_logits: float32 [B, K, V], at the batch's masked positions.
      nsp_logits: float32 [B, N, 2], for each example: is next, is not.
      hidden: [B, S, H], the encoder's output.
    """

    mlm_logits: jax.Array
    nsp_logits: jax.Array
    hidden: jax.Array


class BertForPretraining(nn.Module):
    """BERT with its two pretraining heads (Devlin et al. 2018)."""

    config: ModelConfig

    @nn.compact
    def __call__(self, batch: Batch, dropout_keys: jax.Array | None = None) -> PretrainingOutput:
        """Runs a batch of the schema in `bert_jax.batch`.

        Args:
          batch: token, segment, sequence and position ids [B, S], masked positions [B, K], summary positions [B, N].
          dropout_keys: uint32 [B, S] from `dropout.token_keys`; none means evaluation.
        """
        embeddings = Embeddings(self.config, name="embeddings")
        x = embeddings(batch, dropout_keys)
        hidden = Encoder(self.config, name="encoder")(x, batch["sequence_ids"], dropout_keys)
        pooled = Pooler(self.config, name="pooler")(hidden, batch)
        return PretrainingOutput(
            mlm_logits=MaskedLanguageModelHead(self.config, name="mlm")(
                hidden, batch["masked_positions"], embeddings.word
            ),
            nsp_logits=NextSentenceHead(self.config, name="nsp")(pooled),
            hidden=hidden,
        )
