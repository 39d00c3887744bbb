"""The two ways to learn which sentence comes next: a label for each pair, or a choice among candidates.

With candidates, P(S2 | S1) = exp(s(S1, S2) / t) / Σ exp(s(S1, S2') / t), where s is the inner product of the pooled
vectors of two sequences that do not look at each other, t a temperature, and the candidates S2' are the second
sequences of a fixed group of rows; others from the document of S1 are left out.
"""

import jax
import jax.numpy as jnp

from bert_jax import losses
from bert_jax.batch import Batch
from bert_jax.losses import Mean


def pair_losses(logits: jax.Array, batch: Batch) -> tuple[Mean, Mean]:
    """Loss and accuracy of the pairs' labels, from logits [B, N, 2]."""
    labels, weights = batch["nsp_labels"], batch["nsp_weights"]
    return (
        losses.mean(losses.cross_entropies(logits, labels), weights),
        losses.mean(losses.hits(logits, labels), weights),
    )


def candidate_scores(pooled: jax.Array, batch: Batch, group_size: int, temperature: float) -> jax.Array:
    """float32 [B / G, G, G]: each row's first sequence with each second sequence of its group of G rows.

    Those that are no candidates have the lowest number: other sentences of the same document, and rows without a
    second sequence.

    Args:
      pooled: [B, 2, H].
      batch: of the kind `candidates`; G divides B.
      group_size: G.
      temperature: what scores are divided by.
    """
    first, second = (pooled[:, i].reshape(-1, group_size, pooled.shape[-1]).astype(jnp.float32) for i in (0, 1))
    document = batch["document_ids"][:, 0].reshape(-1, group_size)
    complete = batch["nsp_weights"][:, 0].reshape(-1, group_size) > 0
    source = batch["source_ids"][:, 0].reshape(-1, group_size)
    same = (document[:, :, None] == document[:, None, :]) & (source[:, :, None] == source[:, None, :])
    allowed = jnp.eye(group_size, dtype=bool) | (complete[:, None, :] & ~same)
    scores = jnp.einsum("gih,gjh->gij", first, second, precision=jax.lax.Precision.HIGHEST) / temperature
    return jnp.where(allowed, scores, jnp.finfo(jnp.float32).min)


def candidate_losses(pooled: jax.Array, batch: Batch, group_size: int, temperature: float) -> tuple[Mean, Mean]:
    """Loss, and how often the next sentence has the highest score of its group (by chance 1 / G)."""
    scores = candidate_scores(pooled, batch, group_size, temperature)
    weights = batch["nsp_weights"][:, 0].reshape(-1, group_size)
    labels = jnp.broadcast_to(jnp.arange(group_size), weights.shape)
    return (
        losses.mean(losses.cross_entropies(scores, labels), weights),
        losses.mean(losses.hits(scores, labels), weights),
    )
