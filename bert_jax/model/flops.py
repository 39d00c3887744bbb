"""The arithmetic of training: matrix products of the body, forward and backward. Objectives count their own heads."""

import numpy as np

from bert_jax.batch import Batch
from bert_jax.model.config import ModelConfig

# A multiplication and an addition in the forward pass, and twice as much in the backward pass.
FLOPS_PER_WEIGHT = 6


def body_flops(config: ModelConfig, batch: Batch) -> float:
    """Counts the floating-point operations of the body in one training step on a host batch.

    Only real tokens count, not padding, and attention spans the tokens of one example, or of a window in it. As usual,
    embeddings, norms and other element-wise operations are left out.
    """
    rows, slots = batch["example_ids"].shape[0], batch["cls_positions"].shape[1] + 1
    slot = batch["example_ids"] + slots * np.arange(rows)[:, None]
    lengths = np.bincount(slot.ravel(), minlength=rows * slots).reshape(rows, slots)[:, 1:].astype(np.float64)
    width, kv_width = config.hidden_size, config.kv_heads * config.head_size
    matrices = 3 if config.feed_forward == "gated" else 2
    weights = 2 * width * (width + kv_width) + matrices * width * config.feed_forward_size
    seen = sum(_pairs(lengths, config.window(layer)) for layer in range(config.num_layers))
    return FLOPS_PER_WEIGHT * (config.num_layers * weights * lengths.sum() + 2 * width * seen)


def _pairs(lengths: np.ndarray, window: int | None) -> float:
    """Counts the pairs of tokens of which one attends to the other, in examples of these lengths."""
    if window is None:
        return (lengths**2).sum()
    # Each token but the outermost sees 2 · window + 1; an example that fits into a window is seen whole.
    reach = np.minimum(lengths - 1, window).clip(min=0)
    return (lengths * (2 * reach + 1) - reach * (reach + 1)).sum()


def pooler_flops(config: ModelConfig, batch: Batch) -> float:
    """Counts the floating-point operations of the pooler's layer in one training step; all heads share its output."""
    examples = float(batch["example_ids"].max(axis=1).sum())
    return FLOPS_PER_WEIGHT * config.hidden_size**2 * examples


def head_flops(config: ModelConfig, count: float, outputs: float) -> float:
    """Counts the floating-point operations of a head that scores labels in one training step, without the pooler.

    Args:
      config: the shape of the model.
      count: the number of vectors that the head reads.
      outputs: the number of outputs for each.
    """
    transform = config.hidden_size if config.head_transform == "all" else 0
    return FLOPS_PER_WEIGHT * config.hidden_size * (transform + outputs) * count


def product_flops(config: ModelConfig, count: float, others: float) -> float:
    """Counts the floating-point operations of the inner products of vectors with others, in one training step."""
    return FLOPS_PER_WEIGHT * config.hidden_size * others * count
