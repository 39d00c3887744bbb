"""Word, token-type and position embeddings."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.batch import Batch
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import Dropout
from bert_jax.model.layers import weights, whole_width
from bert_jax.model.norms import make_norm
from bert_jax.model.positions import add_positions, position_table


class Embeddings(nn.Module):
    """The input of the encoder. The masked-language-model head shares the word table."""

    config: ModelConfig

    def setup(self) -> None:
        config, size = self.config, self.config.hidden_size
        self.word = self.param("word", weights(config, ("vocab", "embed")), (config.vocab_size, size))
        if config.num_token_types:
            token_types = weights(config, ("token_types", "embed"))
            self.token_type = self.param("token_type", token_types, (config.num_token_types, size))
        self.position = position_table(self, config)
        if config.embedding_norm:
            self.layer_norm = make_norm(config)
        self.dropout = Dropout(config.dropout if config.embedding_dropout is None else config.embedding_dropout)

    def __call__(self, batch: Batch, keys: jax.Array | None) -> jax.Array:
        """Embeds the tokens of a batch: [B, S, H]."""
        words = jnp.take(whole_width(self.word, ("vocab", "embed")), batch["token_ids"], axis=0)
        words = nn.with_logical_constraint(words, ("batch", "sequence", "activation_embed"))
        # Given only by those who ask what depends on the vectors, see `inspection/attribution.py`.
        if self.has_variable("moves", "words"):
            words += self.get_variable("moves", "words")
        x = words
        if self.config.num_token_types:
            # A model with one type, such as RoBERTa, does not tell the segments of a pair apart.
            one = self.config.num_token_types == 1
            types = jnp.zeros_like(batch["token_type_ids"]) if one else batch["token_type_ids"]
            x += jnp.take(whole_width(self.token_type, ("token_types", "embed")), types, axis=0)
        x = add_positions(self.config, x, self.position, batch["position_ids"])
        x = self.layer_norm(x) if self.config.embedding_norm else x.astype(self.config.dtype)
        return self.dropout(x, keys)
