"""How much arithmetic training takes: the products of the model, forward and backward."""

import numpy as np

from bert_jax.batch import Batch
from bert_jax.model.config import ModelConfig


def training_flops(config: ModelConfig, batch: Batch) -> float:
    """Floating-point operations of one training step on a host batch, for its real tokens: padding is no work.

    2 for a multiplication with its addition, 6 with the backward pass; attention spans an example's own tokens, the
    vocabulary is scored at the used predictions. Embeddings, norms and other element-wise work are left out, as usual.

    Args:
      config: with its vocab_size.
    """
    rows, slots = batch["sequence_ids"].shape[0], batch["summary_positions"].shape[1] + 1
    slot = batch["sequence_ids"] + slots * np.arange(rows)[:, None]
    lengths = np.bincount(slot.ravel(), minlength=rows * slots).reshape(rows, slots)[:, 1:].astype(np.float64)
    width, inner = config.hidden_size, config.feed_forward_size
    layer = (6 * (4 * width**2 + 2 * width * inner) * lengths + 12 * width * lengths**2).sum()
    head = 6 * (width**2 + width * config.vocab_size) * float(batch["masked_weights"].sum())
    return config.num_layers * layer + head
