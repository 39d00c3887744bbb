"""The right one of a question's candidates: multiple choice, as in SWAG (Devlin et al. 2018, section 4.4).

Each candidate is an example, such as `[CLS] question [SEP] candidate [SEP]`, and gets one score. A question's
candidates compete by a softmax: P(i) = exp(s_i) / Σ exp(s_j).
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
from bert_jax.model.flops import head_flops
from bert_jax.model.heads import ExampleLabelsHead
from bert_jax.objectives.objective import Objective
from bert_jax.scores import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices(Objective):
    """Cross-entropy over the candidates of each question.

    A question may have any number of candidates. All of them must be in one row: candidates in other rows do not
    compete. `LabelledTexts.groups` keeps them together.

    An example with the weight 0 is no candidate, whatever its other columns hold. To leave a question out, give all its
    candidates the weight 0.
    """

    name: str = "choice"

    @property
    def title(self) -> str:
        return "multiple choice"

    @property
    def columns(self) -> dict[str, Column]:
        return {
            "choice_questions": Column("BN", np.int32),  # number of the question, anything unique within the row
            "choice_places": Column("BN", np.int32),  # place of this candidate among the question's, from 0
            "choice_labels": Column("BN", np.int32),  # place of the right one, the same for all its candidates
            "choice_weights": Column("BN", np.float32),  # weight of the question, the same for all its candidates
        }

    def head(self, config: ModelConfig) -> MakeHead:
        return lambda name: ExampleLabelsHead(config, 1, config.dropout, name=name)

    def outcome(self, prediction: jax.Array, batch: Batch) -> Outcome:
        scores, weights = prediction[..., 0], batch["choice_weights"]
        among = rivals(batch)
        others = jnp.where(among, scores[:, None, :], jnp.finfo(scores.dtype).min)
        # Of equal scores, each has its share of the hit: the order of candidates decides nothing.
        best = among & (others >= others.max(-1, keepdims=True))
        hits = jnp.where(scores >= others.max(-1), 1 / jnp.maximum(best.sum(-1), 1), 0.0)
        # The right candidate stands for its question.
        weights = weights * (batch["choice_places"] == batch["choice_labels"])
        values = jnp.where(weights > 0, jax.nn.logsumexp(others, axis=-1) - scores, 0.0)
        loss = losses.weighted_sum(values, weights)
        accuracy = losses.weighted_sum(hits, weights)
        return Outcome({f"{self.name}_loss": Loss(loss, self.coefficient)}, {f"{self.name}_accuracy": accuracy})

    @property
    def scores(self) -> tuple[Score, ...]:
        name, title = self.name, "a guess or the most frequent place"
        accuracy = Score(f"{name}_accuracy", f"{self.title}, accuracy", False, f"{name}_guess", title)
        return accuracy, Score(f"{name}_loss", f"{self.title}, loss in nats", True, f"{name}_guess_loss", "a guess")

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """Without reading: a guess or the most frequent place, whichever is right more often, and a guess's loss."""
        labels, numbers = _counted_questions(held_out)
        if not len(labels):
            return {}
        _, places = np.unique(labels, return_counts=True)
        best = max(float((1 / numbers).mean()), float(places.max() / len(labels)))
        return {f"{self.name}_guess": best, f"{self.name}_guess_loss": float(np.log(numbers).mean())}

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        return head_flops(config, float((batch["choice_weights"] > 0).sum()), 1)


def rivals(batch: Batch) -> jax.Array:
    """Returns True where an example competes with another (last axis) or with itself: [B, N, N]."""
    question, is_candidate = batch["choice_questions"], batch["choice_weights"] > 0
    same = question[:, :, None] == question[:, None, :]
    return same & is_candidate[:, :, None] & is_candidate[:, None, :]


def _counted_questions(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Returns the place of the right candidate and the number of candidates of each question: int64 [questions]."""
    row, slot = np.nonzero(batch["choice_weights"] > 0)
    keys = np.stack([row, batch["choice_questions"][row, slot]], axis=1)
    _, first, numbers = np.unique(keys, axis=0, return_index=True, return_counts=True)
    return batch["choice_labels"][row, slot][first], numbers
