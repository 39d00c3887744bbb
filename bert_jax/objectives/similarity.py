"""Embeddings from pairs of texts with numbers: the cosine of two texts is to be how similar they are.

The squared error of the cosine, as in Sentence-BERT (Reimers & Gurevych 2019, arXiv 1908.10084, section 3).
"""

import dataclasses

import jax
import jax.numpy as jnp

from bert_jax import losses
from bert_jax.batch import Batch
from bert_jax.losses import Loss, Outcome
from bert_jax.objectives.embeddings import FIRST, SECOND, Embeddings
from bert_jax.scores import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Similarity(Embeddings):
    """The squared error of cosines against `similarities`, from `lowest`, which is 0, to `highest`, which is 1.

    Attributes:
      lowest, highest: the range of the numbers.
    """

    lowest: float = 0.0
    highest: float = 1.0

    @property
    def title(self) -> str:
        return "similarity as the cosine of embeddings"

    @property
    def scores(self) -> tuple[Score, ...]:
        error = Score(f"{self.name}_loss", "cosine and similarity, mean squared error", True)
        return (*super().scores, error)

    def outcome(self, prediction: jax.Array, batch: Batch) -> Outcome:
        roles, groups = batch["text_roles"].ravel(), batch["text_groups"].ravel()
        counts = batch["similarity_weights"].ravel() > 0
        wanted = (batch["similarities"].ravel() - self.lowest) / (self.highest - self.lowest)
        mine = (counts & (roles == FIRST))[:, None] & (counts & (roles == SECOND)) & (groups[:, None] == groups)
        count = mine.sum(1)  # above 1 where a batch ends one epoch and begins the next
        errors = []
        for vectors in self.unit_vectors(prediction):
            partner = mine.astype(jnp.float32) @ vectors / jnp.maximum(count, 1)[:, None]
            errors.append(jnp.square((vectors * partner).sum(-1) - wanted))
        loss = losses.weighted_sum(jnp.stack(errors).mean(0), (count > 0).astype(jnp.float32))
        return Outcome({f"{self.name}_loss": Loss(loss, self.coefficient)}, {})
