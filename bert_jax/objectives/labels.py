"""Labels of an example or of each token: one class, any number of classes, or a number."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bert_jax import losses
from bert_jax.batch import Batch, Column
from bert_jax.losses import Loss, Outcome
from bert_jax.model.composite import MakeHead
from bert_jax.model.config import ModelConfig
from bert_jax.model.flops import head_flops
from bert_jax.model.heads import ExampleLabelsHead, TokenLabelsHead
from bert_jax.objectives.agreement import Moments, class_counts, macro_f1, majority, pearson
from bert_jax.objectives.objective import Objective
from bert_jax.scores import Score

ONE, SEVERAL, NUMBER = "one", "several", "number"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels(Objective):
    """Predicts the column `{name}s` (`labels`); `{name}_weights` is 1 where a label counts, else 0.

    Attributes:
      names: the C labels; for a number, its own name.
      choose: `one` (softmax), `several` (sigmoids, predicted above 0.5) or `number` (squared error).
      of_tokens: whether each token has a label, rather than each example.
    """

    name: str = "label"
    names: tuple[str, ...]
    choose: str = ONE
    of_tokens: bool = False

    @property
    def title(self) -> str:
        return f"{self.name}: {self.choose} of {len(self.names)}" if self.choose != NUMBER else f"{self.name}: a number"

    @property
    def columns(self) -> dict[str, Column]:
        axes = "BS" if self.of_tokens else "BN"
        one, number = Column(axes, np.int32, len(self.names)), Column(axes, np.float32)
        labels = {ONE: one, SEVERAL: Column(axes + "C", np.float32), NUMBER: number}
        return {f"{self.name}s": labels[self.choose], f"{self.name}_weights": number}

    @property
    def sizes(self) -> dict[str, int]:
        return {"C": len(self.names)}

    def head(self, config: ModelConfig) -> MakeHead:
        kind = TokenLabelsHead if self.of_tokens else ExampleLabelsHead
        return lambda name: kind(config, len(self.names), config.dropout, name=name)

    def outcome(self, prediction: jax.Array, batch: Batch) -> Outcome:
        labels, weights = batch[f"{self.name}s"], batch[f"{self.name}_weights"]
        if self.choose == NUMBER:
            values, right = jnp.square(prediction[..., 0] - labels), None
            counts = {"moments": Moments.of(prediction[..., 0], labels, weights)}
        elif self.choose == SEVERAL:
            values = optax.sigmoid_binary_cross_entropy(prediction, labels).mean(-1)
            said, gold = prediction > 0, labels > 0
            right, counts = (said == gold).all(-1), class_counts(said, gold, weights)
        else:
            values, right = losses.cross_entropies(prediction, labels), losses.hits(prediction, labels)
            said, gold = (jax.nn.one_hot(i, len(self.names)) > 0 for i in (prediction.argmax(-1), labels))
            counts = class_counts(said, gold, weights)
        loss = Loss(losses.weighted_sum(values, weights), self.coefficient)
        metrics = {} if right is None else {f"{self.name}_accuracy": losses.weighted_sum(right, weights)}
        return Outcome({f"{self.name}_loss": loss}, metrics, {f"{self.name}_{k}": v for k, v in counts.items()})

    @property
    def scores(self) -> tuple[Score, ...]:
        name = self.name
        if self.choose == NUMBER:
            error = Score(f"{name}_loss", f"{name}, mean squared error", True, f"{name}_variance", "the mean")
            return error, Score(f"{name}_pearson", f"{name}, Pearson correlation")
        accuracy = Score(f"{name}_accuracy", f"{name}, accuracy", False, f"{name}_majority", "majority")
        f1 = Score(f"{name}_macro_f1", f"{name}, macro-F1", False, f"{name}_majority_macro_f1", "majority")
        return accuracy, f1, Score(f"{name}_loss", f"{name}, loss in nats", True)

    def count_scores(self, counts: Mapping[str, Any]) -> dict[str, float]:
        if self.choose == NUMBER:
            name, value = f"{self.name}_pearson", pearson(counts[f"{self.name}_moments"])
        else:
            name = f"{self.name}_macro_f1"
            value = macro_f1(*(np.asarray(counts[f"{self.name}_{k}"]) for k in ("hit", "said", "gold")))
        return {} if value is None else {name: value}

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """Scores of always predicting the most frequent label (or set of labels) of the held-out set, or its mean."""
        gold = held_out[f"{self.name}s"][held_out[f"{self.name}_weights"] > 0]
        if not len(gold):
            return {}
        if self.choose == NUMBER:
            return {f"{self.name}_variance": float(gold.var())}
        accuracy, f1 = majority(gold if self.choose == SEVERAL else np.eye(len(self.names))[gold])
        found = {f"{self.name}_majority": accuracy, f"{self.name}_majority_macro_f1": f1}
        return {name: value for name, value in found.items() if value is not None}

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        return head_flops(config, float(batch[f"{self.name}_weights"].sum()), len(self.names))
