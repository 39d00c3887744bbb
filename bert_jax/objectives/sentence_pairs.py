"""A binary question about the two segments of an example, answered from its pooled vector.

Next-sentence prediction (Devlin et al. 2018): does B follow A, or is it from elsewhere? Sentence order (ALBERT, Lan et
al. 2020): are A and B in order, or swapped? The data decides which; the head and the scores are the same.
"""

import dataclasses

import jax
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
class SentencePairs(Objective):
    """Cross-entropy over two classes.

    Attributes:
      question: `next sentence` or `sentence order`.
    """

    name: str = "nsp"
    question: str = "next sentence"

    @property
    def title(self) -> str:
        return f"{self.question.replace(' ', '-')} prediction"

    @property
    def columns(self) -> dict[str, Column]:
        return {
            "nsp_labels": Column("BN", np.int32, 2),  # 0: B follows A; 1: B is from elsewhere, or A and B are swapped
            "nsp_weights": Column("BN", np.float32),  # 1 where the label counts, else 0
        }

    def head(self, config: ModelConfig) -> MakeHead:
        return lambda name: ExampleLabelsHead(config, 2, dropout=0.0, name=name)  # BERT has no dropout here

    def outcome(self, prediction: jax.Array, batch: Batch) -> Outcome:
        labels, weights = batch["nsp_labels"], batch["nsp_weights"]
        loss = losses.weighted_sum(losses.cross_entropies(prediction, labels), weights)
        accuracy = losses.weighted_sum(losses.hits(prediction, labels), weights)
        return Outcome({f"{self.name}_loss": Loss(loss, self.coefficient)}, {f"{self.name}_accuracy": accuracy})

    @property
    def scores(self) -> tuple[Score, ...]:
        title = f"{self.question}, accuracy"
        return (Score(f"{self.name}_accuracy", title, baseline=f"{self.name}_majority", baseline_title="majority"),)

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """The accuracy of always predicting the more frequent label."""
        labels = held_out["nsp_labels"][held_out["nsp_weights"] > 0]
        return {f"{self.name}_majority": float(max(labels.mean(), 1 - labels.mean()))} if len(labels) else {}

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        return head_flops(config, float(batch["nsp_weights"].sum()), 2)
