"""Next-sentence prediction among several candidates.

P(S2 | S1) = exp(s(S1, S2) / t) / Σ exp(s(S1, S2') / t), where s is the inner product of the pooled vectors of two
examples that do not attend to each other, and t is a temperature. The candidates S2' are the second examples of a fixed
group of rows, without other examples from the document of S1.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax import losses
from bert_jax.batch import Batch, Column
from bert_jax.losses import Loss, Outcome
from bert_jax.model.composite import MakeHead
from bert_jax.model.config import ModelConfig
from bert_jax.model.flops import product_flops
from bert_jax.model.heads import PooledHead
from bert_jax.objectives.objective import Objective
from bert_jax.scores import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidates(Objective):
    """Cross-entropy over the candidates of a group.

    Attributes:
      group_size: G, the number of rows whose second examples compete; must divide B.
      temperature: t, the divisor of the scores.
    """

    name: str = "candidates"
    group_size: int
    temperature: float

    @property
    def title(self) -> str:
        return f"next-sentence prediction among the {self.group_size} candidates of a group"

    @property
    def columns(self) -> dict[str, Column]:
        return {
            "document_ids": Column("BN", np.int32),  # number of each example's document within its source
            "source_ids": Column("BN", np.int32),  # number of that source
            "pair_weights": Column("BN", np.float32),  # 1 where the row has two examples, else 0
        }

    def head(self, config: ModelConfig) -> MakeHead:
        return lambda name: PooledHead(name=name)

    def outcome(self, prediction: jax.Array, batch: Batch) -> Outcome:
        scores = candidate_scores(prediction, batch, self.group_size, self.temperature)
        weights = batch["pair_weights"][:, 0].reshape(-1, self.group_size)
        labels = jnp.broadcast_to(jnp.arange(self.group_size), weights.shape)
        loss = losses.weighted_sum(losses.cross_entropies(scores, labels), weights)
        accuracy = losses.weighted_sum(losses.hits(scores, labels), weights)
        return Outcome({f"{self.name}_loss": Loss(loss, self.coefficient)}, {f"{self.name}_accuracy": accuracy})

    @property
    def scores(self) -> tuple[Score, ...]:
        title = f"next sentence among {self.group_size}, accuracy"
        return (Score(f"{self.name}_accuracy", title, baseline=f"{self.name}_chance", baseline_title="chance"),)

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """The accuracy of guessing among the candidates that each row has: at least 1 / G."""
        chances = 1 / np.asarray(candidates_of(held_out, self.group_size)).sum(-1)
        counted = held_out["pair_weights"][:, 0].reshape(chances.shape) > 0
        return {f"{self.name}_chance": float(chances[counted].mean())} if counted.any() else {}

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        """Counts the inner products of each group."""
        examples = float((batch["example_ids"].max(axis=1)).sum())
        return product_flops(config, examples, self.group_size / 2)


def candidate_scores(pooled: jax.Array, batch: Batch, group_size: int, temperature: float) -> jax.Array:
    """Scores each row's first example against each second example of its group of G rows: float32 [B / G, G, G].

    Pairs that are not candidates get the lowest float32; see `candidates_of`.

    Args:
      pooled: [B, 2, H].
      batch: has the columns of `Candidates`.
      group_size: G.
      temperature: the divisor of the scores.
    """
    first, second = (pooled[:, i].reshape(-1, group_size, pooled.shape[-1]).astype(jnp.float32) for i in (0, 1))
    scores = jnp.einsum("gih,gjh->gij", first, second, precision=jax.lax.Precision.HIGHEST) / temperature
    return jnp.where(candidates_of(batch, group_size), scores, jnp.finfo(jnp.float32).min)


def candidates_of(batch: Batch, group_size: int) -> jax.Array:
    """Returns which second examples of its group each row chooses among: bool [B / G, G, G].

    These are its own, and those of other documents. Rows without a second example offer none.
    """
    document = batch["document_ids"][:, 0].reshape(-1, group_size)
    complete = batch["pair_weights"][:, 0].reshape(-1, group_size) > 0
    source = batch["source_ids"][:, 0].reshape(-1, group_size)
    same = (document[:, :, None] == document[:, None, :]) & (source[:, :, None] == source[:, None, :])
    return jnp.eye(group_size, dtype=bool) | (complete[:, None, :] & ~same)
