"""The body of the model: everything but the heads."""

import flax.linen as nn
import jax

from bert_jax.batch import Batch
from bert_jax.model.config import ModelConfig
from bert_jax.model.embeddings import Embeddings
from bert_jax.model.encoder import Encoder
from bert_jax.model.layout import Layout
from bert_jax.model.pooling import Pooler


class Bert(nn.Module):
    """Embeddings, encoder and pooler (Devlin et al. 2018). A model that never pools has no pooler parameters.

    The input is a batch with the core columns of `bert_jax.batch`, and `dropout_keys`, uint32 [B, S] from
    `dropout.token_keys`; None means no dropout.
    """

    config: ModelConfig

    def setup(self) -> None:
        self.embeddings = Embeddings(self.config)
        self.encoder = Encoder(self.config)
        self.pooler = Pooler(self.config)

    def encode(self, batch: Batch, dropout_keys: jax.Array | None = None) -> jax.Array:
        """Returns one vector per token: [B, S, H]."""
        return self.encoder(self.embeddings(batch, dropout_keys), Layout.of(batch, dropout_keys))

    def pool(self, hidden: jax.Array, batch: Batch) -> jax.Array:
        """Pools hidden states [B, S, H] to one vector per example, [B, N, H]."""
        return self.pooler(hidden, batch)

    def word_table(self) -> jax.Array:
        """Returns the word embeddings [V, H], which the masked-language-model head shares."""
        return self.embeddings.word

    def __call__(self, batch: Batch, dropout_keys: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Returns hidden states [B, S, H] and pooled examples [B, N, H]."""
        hidden = self.encode(batch, dropout_keys)
        return hidden, self.pool(hidden, batch)
