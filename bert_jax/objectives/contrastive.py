"""Contrastive learning of embeddings from pairs and triplets of texts, with the other texts of a batch as negatives.

−log exp(cos(a, p) / t) / (exp(cos(a, p) / t) + Σ exp(cos(a, n) / t)), where p belongs to a, and the n are the second
texts of all other groups in the batch and the hard negatives of all groups (van den Oord et al. 2018, arXiv 1807.03748;
Gao et al. 2021, arXiv 2104.08821). SimCSE without labels is the case in which p is a itself, with another draw of
dropout.
"""

import dataclasses

import jax
import jax.numpy as jnp

from bert_jax import losses
from bert_jax.batch import Batch
from bert_jax.losses import Loss, Outcome
from bert_jax.model.config import ModelConfig
from bert_jax.model.flops import product_flops
from bert_jax.objectives.embeddings import FIRST, SECOND, Embeddings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrastive(Embeddings):
    """Cross-entropy of each first text's own second text among all candidates of the batch.

    The batch is the whole one, over all devices of the mesh and all processes. With gradient accumulation it is the
    microbatch: texts of other microbatches are no candidates, so that the loss is another one than without it.

    A candidate that is known to belong to a text is no negative of it: one that is the same text as its partner, as
    another partner in the batch, or as itself.

    The loss and the accuracy of a held-out set are means over its batches, and depend on their size: they are logged,
    but are no scores.

    Attributes:
      temperature: t.
      symmetric: whether each second text is also to find its first one among all first texts, at equal weight.
    """

    temperature: float = 0.05
    symmetric: bool = False

    @property
    def title(self) -> str:
        return "contrastive learning of embeddings"

    def outcome(self, prediction: jax.Array, batch: Batch) -> Outcome:
        roles = batch["text_roles"].ravel()
        counts = batch["group_weights"].ravel() > 0
        firsts, seconds = (counts & (roles == role) for role in (FIRST, SECOND))
        found = []
        for vectors in self.unit_vectors(prediction):
            scores = jnp.einsum("ih,jh->ij", vectors, vectors, precision=jax.lax.Precision.HIGHEST) / self.temperature
            found.append(_find(scores, batch, firsts, counts & (roles != FIRST), seconds))
            if self.symmetric:
                found.append(_find(scores, batch, seconds, firsts, firsts))
        values, hits, weights = (jnp.stack(one) for one in zip(*found, strict=True))
        # Each group has a weight of 1, whatever the number of sizes and directions.
        loss = losses.weighted_sum(values, weights / len(found))
        accuracy = losses.weighted_sum(hits[0], weights[0])  # of whole vectors
        return Outcome({f"{self.name}_loss": Loss(loss, self.coefficient)}, {f"{self.name}_accuracy": accuracy})

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        """Counts the inner products of all texts of the batch."""
        texts = float((batch["group_weights"] > 0).sum())
        return product_flops(config, texts, texts)


def _find(
    scores: jax.Array, batch: Batch, seeking: jax.Array, candidates: jax.Array, partners: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """How well each text finds its partner among the candidates.

    Args:
      scores: [M, M], of each text of the batch (M = B · N) with each.
      batch: has the columns of `Embeddings`.
      seeking, candidates, partners: bool [M], which texts seek, which they choose among, which may be their partner.

    Returns:
      The loss, the share of a hit, and the weight of each text: float32 [M]. The weight of a text that does not seek,
      or whose partner is not in the batch, is 0.
    """
    groups, texts, others = (batch[name].ravel() for name in ("text_groups", "text_ids", "partner_ids"))
    mine = seeking[:, None] & partners & (groups[:, None] == groups)
    # A group may be twice in a batch that ends one epoch and begins the next: its copies are equal.
    count = mine.sum(1)
    own = jnp.where(mine, scores, 0).sum(1) / jnp.maximum(count, 1)
    known = (texts == others[:, None]) | (texts == texts[:, None]) | (others == texts[:, None])
    rivals = jnp.where(seeking[:, None] & candidates & ~mine & ~known, scores, -jnp.inf)
    highest = rivals.max(1)
    values = jax.nn.logsumexp(jnp.concatenate([own[:, None], rivals], axis=1), axis=1) - own
    # Of equal scores, each has its share of the hit.
    hits = (own >= highest) / (1 + (rivals == own[:, None]).sum(1))
    return values, hits, (count > 0).astype(jnp.float32)
