"""Hidden states and attention maps, for analysis.

The modules `sow` them into the collection "intermediates", which costs nothing unless the caller makes it mutable.
"""

from typing import Any

import flax.struct
import jax

from bert_jax.batch import Batch
from bert_jax.model.bert import Bert
from bert_jax.model.composite import Composite


@flax.struct.dataclass
class Intermediates:
    """The intermediate results of a forward pass through L layers.

    Attributes:
      hidden_states: L + 1 arrays [B, S, H]: the output of the embeddings, then of each layer (with `norm_position=pre`,
        before the final norm).
      attention_maps: L arrays [B, heads, S, S], float32: how much each query (third axis) attends to each key, before
        dropout. Padding attends to padding only.
    """

    hidden_states: tuple[jax.Array, ...]
    attention_maps: tuple[jax.Array, ...]


def with_intermediates(model: Bert | Composite, params: Any, batch: Batch) -> tuple[Any, Intermediates]:
    """Applies a model to a batch, without dropout.

    Args:
      model: the model.
      params: its parameters.
      batch: its input.

    Returns:
      The output of the model, and its intermediate results.
    """
    output, state = model.apply({"params": params}, batch, mutable="intermediates")
    found: Any = state["intermediates"]
    encoder = found.get("bert", found)["encoder"]
    maps = (encoder[f"layer_{layer}"]["attention"]["attention_map"][0] for layer in range(model.config.num_layers))
    return output, Intermediates(encoder["hidden_states"], tuple(maps))
