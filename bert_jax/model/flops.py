"""How much arithmetic training takes: the products of the model, forward and backward."""

from bert_jax.model.config import ModelConfig


def training_flops(config: ModelConfig, rows: int, length: int, predictions: int) -> int:
    """Floating-point operations of one training step: 2 a multiplication with addition, 6 with the backward pass.

    Embeddings, norms and other element-wise work are left out, as usual; padding counts, so hand in real lengths where
    only real tokens are to count.

    Args:
      config: with its vocab_size.
      rows: B. length: S, also the span of attention. predictions: K, positions that the vocabulary is scored at.
    """
    width, inner = config.hidden_size, config.feed_forward_size
    layer = 4 * width**2 + 2 * width * inner
    encoder = config.num_layers * (6 * layer + 12 * length * width) * length
    head = 6 * (width**2 + width * config.vocab_size) * predictions
    return rows * (encoder + head)
