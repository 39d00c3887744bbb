"""One model class for every task: the body `bert`, and one head for each objective."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from bert_jax.batch import Batch
from bert_jax.model.bert import Bert
from bert_jax.model.config import ModelConfig

# Makes the head of the given name: a module called with (Encoded, batch); see `heads.py`.
MakeHead = Callable[[str], nn.Module]


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The output of the body for a batch, as the heads see it.

    Attributes:
      hidden: [B, S, H], one vector per token.
      pooled: returns [B, N, H], one vector per example. Only a model with a head that calls it has a pooler.
      word_table: [V, H], the word embeddings.
      dropout_keys: uint32 [B, S]; None if nothing is dropped.
      draw_keys: uint32 [B, S], from which heads may draw, in evaluation too; None if nothing is drawn.
    """

    hidden: jax.Array
    pooled: Callable[[], jax.Array]
    word_table: jax.Array
    dropout_keys: jax.Array | None
    draw_keys: jax.Array | None


class Composite(nn.Module):
    """BERT with heads.

    The body is named `bert` in every composite, so its parameters can be moved from one to another as a whole.

    Attributes:
      config: the shape of the body.
      heads: (name, maker) of each head; its parameters and its prediction have that name.
    """

    config: ModelConfig
    heads: tuple[tuple[str, MakeHead], ...]

    @nn.compact
    def __call__(
        self, batch: Batch, dropout_keys: jax.Array | None = None, draw_keys: jax.Array | None = None
    ) -> dict[str, Any]:
        """Returns the prediction of each head, by name."""
        bert = Bert(self.config, name="bert")
        hidden = bert.encode(batch, dropout_keys)
        encoded = Encoded(hidden, lambda: bert.pool(hidden, batch), bert.word_table(), dropout_keys, draw_keys)
        return {name: make(name)(encoded, batch) for name, make in self.heads}


def layer_of(names: tuple[str, ...]) -> str:
    """Returns the layer of a parameter, from its path: embeddings, layer_0, …, pooler, or the name of a head."""
    inside = names[1:] if names[0] == "bert" else names
    return inside[1] if inside[0] == "encoder" else inside[0]
