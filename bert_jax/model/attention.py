"""Self-attention within each example. `attend` is the one place where attention is computed: kernels go behind it."""

from collections.abc import Callable

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from bert_jax.batch import Batch
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import AttentionDropout
from bert_jax.model.layers import Dense
from bert_jax.model.products import product


@flax.struct.dataclass
class Layout:
    """The layout of examples in rows, which determines which tokens attend to each other.

    Attributes:
      example_ids: int32 [B, S], the example that each token belongs to; 0 is padding.
      position_ids: int32 [B, S], the position of each token within its example.
    """

    example_ids: jax.Array
    position_ids: jax.Array

    @classmethod
    def of(cls, batch: Batch) -> "Layout":
        """Returns the layout of a batch."""
        return cls(batch["example_ids"], batch["position_ids"])

    def mask(self) -> jax.Array:
        """Returns True where a query attends to a key: [B, 1, S, S], queries then keys.

        This line keeps packed examples apart. Padding (0) attends to padding only, so no row of the softmax is empty
        and no example attends to padding.
        """
        return (self.example_ids[:, :, None] == self.example_ids[:, None, :])[:, None]


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    layout: Layout,
    *,
    dropout: Callable[[jax.Array], jax.Array] = lambda probabilities: probabilities,
    observe: Callable[[jax.Array], object] = lambda probabilities: None,
) -> jax.Array:
    """Computes softmax(query · keyᵀ) · value within each example (Vaswani et al. 2017), in plain XLA.

    Args:
      query, key, value: [B, heads, S, head size], of the same dtype; the query is already scaled.
      layout: the layout of the rows.
      dropout: is applied to the probabilities, [B, heads, S, S].
      observe: is called with the probabilities before dropout, float32.

    Returns:
      [B, heads, S, head size], in the dtype of the inputs.
    """
    scores = product(query, key.mT)
    probabilities = jax.nn.softmax(jnp.where(layout.mask(), scores, jnp.finfo(jnp.float32).min), axis=-1)
    observe(probabilities)
    return product(dropout(probabilities.astype(value.dtype)), value).astype(value.dtype)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017): [B, S, H] to [B, S, H]."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array, layout: Layout, keys: jax.Array | None) -> jax.Array:
        config = self.config
        # One product for queries, keys and values. Heads come first, so that splitting them over devices splits it too.
        shape = (config.num_heads, 3, config.head_size)
        projected = Dense(config, shape, ("embed",), ("heads", "qkv", "head"), name="query_key_value")(x)
        projected = nn.with_logical_constraint(projected, ("batch", "sequence", "activation_heads", None, None))
        query, key, value = (projected[..., part, :].swapaxes(-2, -3) for part in range(3))  # [B, heads, S, head]
        dropout = AttentionDropout(config.attention_dropout, name="dropout")
        context = attend(
            query * config.head_size**-0.5,
            key,
            value,
            layout,
            dropout=lambda probabilities: dropout(probabilities, keys),
            # Kept only on request, see `model/intermediates.py`.
            observe=lambda probabilities: self.sow("intermediates", "attention_map", probabilities),
        ).swapaxes(-2, -3)
        return Dense(config, (config.hidden_size,), ("heads", "head"), ("embed",), name="output")(context)
