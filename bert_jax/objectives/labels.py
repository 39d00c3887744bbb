"""Labels of an example or of each token: one class, any number of classes, or a number."""

import dataclasses
from collections.abc import Mapping

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
from bert_jax.objectives import agreement
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
      f1_label: the label whose F1 is a score, too; empty: none.
    """

    name: str = "label"
    names: tuple[str, ...]
    choose: str = ONE
    of_tokens: bool = False
    f1_label: str = ""

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
        elif self.choose == SEVERAL:
            values = optax.sigmoid_binary_cross_entropy(prediction, labels).mean(-1)
            right = ((prediction > 0) == (labels > 0)).all(-1)
        else:
            values, right = losses.cross_entropies(prediction, labels), losses.hits(prediction, labels)
        loss = Loss(losses.weighted_sum(values, weights), self.coefficient)
        metrics = {} if right is None else {f"{self.name}_accuracy": losses.weighted_sum(right, weights)}
        return Outcome({f"{self.name}_loss": loss}, metrics)

    def decode(self, prediction: jax.Array, batch: Batch) -> dict[str, jax.Array]:
        """Returns `said`: ids [B, N], truth values [B, N, C] or numbers [B, N]; for tokens, S in place of N."""
        if self.choose == NUMBER:
            return {"said": prediction[..., 0]}
        return {"said": prediction > 0 if self.choose == SEVERAL else prediction.argmax(-1).astype(jnp.int32)}

    @property
    def scores(self) -> tuple[Score, ...]:
        name = self.name
        if self.choose == NUMBER:
            error = Score(f"{name}_loss", f"{name}, mean squared error", True, f"{name}_variance", "the mean")
            pearson = Score(f"{name}_pearson", f"{name}, Pearson correlation")
            return Score(f"{name}_spearman", f"{name}, Spearman correlation"), pearson, error
        accuracy = Score(f"{name}_accuracy", f"{name}, accuracy", False, f"{name}_majority", "majority")
        f1 = Score(f"{name}_macro_f1", f"{name}, macro-F1", False, f"{name}_majority_macro_f1", "majority")
        other = ("micro_f1", "micro-F1") if self.choose == SEVERAL else ("matthews", "Matthews correlation")
        third = Score(f"{name}_{other[0]}", f"{name}, {other[1]}")
        loss = Score(f"{name}_loss", f"{name}, loss in nats", True)
        # Of several labels, all must be right to count in the accuracy.
        found = (third, f1, accuracy, loss) if self.choose == SEVERAL else (accuracy, f1, third, loss)
        if not self.f1_label:
            return found
        title = f"{name}, F1 of {self.f1_label}"
        return (*found, Score(f"{name}_f1", title, False, f"{name}_majority_f1", "majority"))

    def judge(self, decoded: Mapping[str, np.ndarray], held_out: Batch) -> dict[str, float]:
        counted = held_out[f"{self.name}_weights"] > 0
        said, gold = decoded["said"][counted], held_out[f"{self.name}s"][counted]
        if self.choose == NUMBER:
            found = {"pearson": agreement.pearson(gold, said), "spearman": agreement.spearman(gold, said)}
        else:
            found = {"macro_f1": agreement.macro_f1(gold, said)} | self._f1(gold, said)
            found |= (
                {"micro_f1": agreement.micro_f1(gold, said)}
                if self.choose == SEVERAL
                else {"matthews": agreement.matthews(gold, said)}
            )
        return {f"{self.name}_{name}": value for name, value in found.items() if value is not None}

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """Scores of always predicting the most frequent label (or set of labels) of the held-out set, or its mean."""
        gold = held_out[f"{self.name}s"][held_out[f"{self.name}_weights"] > 0]
        if not len(gold):
            return {}
        if self.choose == NUMBER:
            return {f"{self.name}_variance": float(gold.var())}
        answers, counts = np.unique(gold, axis=0, return_counts=True)
        said = np.broadcast_to(answers[counts.argmax()], gold.shape)
        found = {"": agreement.accuracy(gold, said), "_macro_f1": agreement.macro_f1(gold, said)}
        found |= {f"_{name}": value for name, value in self._f1(gold, said).items()}
        return {f"{self.name}_majority{name}": value for name, value in found.items() if value is not None}

    def _f1(self, gold: np.ndarray, said: np.ndarray) -> dict[str, float | None]:
        """The F1 of `f1_label`, if there is one."""
        if not self.f1_label:
            return {}
        return {"f1": agreement.class_f1(gold, said, self.names.index(self.f1_label))}

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        return head_flops(config, float(batch[f"{self.name}_weights"].sum()), len(self.names))
