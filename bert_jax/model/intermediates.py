"""What happens between input and output: hidden states and attention maps, for those who look inside.

The modules `sow` them into the collection "intermediates", which costs nothing unless a caller makes it mutable.
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax

from bert_jax.batch import Batch


@flax.struct.dataclass
class Intermediates:
    """One forward pass, seen from inside; L is the number of layers.

    Attributes:
      hidden_states: L + 1 arrays [B, S, H]: the embeddings' output, then each layer's (with `norm_position=pre`
        before the final norm).
      attention_maps: L arrays [B, heads, S, S], float32: how much each query (third axis) takes from each key, before
        dropout. Rows of padding look at padding only.
    """

    hidden_states: tuple[jax.Array, ...]
    attention_maps: tuple[jax.Array, ...]


def with_intermediates(model: nn.Module, params: Any, batch: Batch) -> tuple[Any, Intermediates]:
    """What `model` predicts of `batch` in evaluation, and what happened on the way.

    Args:
      model: `Bert` or a composite of it (`bert_jax.model.bert`).
      params: its parameters.
    """
    output, state = model.apply({"params": params}, batch, mutable="intermediates")
    found = state["intermediates"]
    encoder = found.get("bert", found)["encoder"]
    maps = (encoder[f"layer_{layer}"]["attention"]["attention_map"][0] for layer in range(model.config.num_layers))
    return output, Intermediates(encoder["hidden_states"], tuple(maps))
