"""A tag for each word: entities, scored as wholes, or classes such as parts of speech."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax import losses
from bert_jax.batch import Batch, Column
from bert_jax.losses import Outcome
from bert_jax.objectives import agreement
from bert_jax.objectives.entities import score_entities
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.tags import BARE
from bert_jax.scores import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordTags(Labels):
    """Predicts the tag of each word at its pieces: the column `labels`, where `label_weights` is above 0.

    `word_numbers` is the number of a word at the piece that decides its tag, else 0. Words count from 1 through all of
    a held-out set, and one number is left out between sentences: so whole sentences are scored, however their words
    were packed into rows and windows.

    Attributes:
      names: the C tags.
      scheme: that of the tags; see `tags.py`.
      strict: whether an entity counts only if its tags keep to the scheme; else they are read as conlleval does.
    """

    of_tokens: bool = True
    scheme: str
    strict: bool = False

    @property
    def title(self) -> str:
        return f"{self.name}: one of {len(self.names)} tags for each word ({self.scheme})"

    @property
    def columns(self) -> dict[str, Column]:
        return super().columns | {"word_numbers": Column("BS", np.int32)}

    def outcome(self, prediction: jax.Array, batch: Batch) -> Outcome:
        found = super().outcome(prediction, batch)
        right = losses.hits(prediction, batch[f"{self.name}s"])
        decides = (batch["word_numbers"] > 0).astype(jnp.float32)
        return Outcome(found.losses, {f"{self.name}_accuracy": losses.weighted_sum(right, decides)})

    @property
    def scores(self) -> tuple[Score, ...]:
        name = self.name
        against = {"baseline": f"{name}_majority_f1", "baseline_title": "majority"}
        accuracy = Score(f"{name}_accuracy", "word accuracy", False, f"{name}_majority", "majority")
        loss = Score(f"{name}_loss", f"{name}, loss in nats", True)
        if self.scheme == BARE:
            return accuracy, Score(f"{name}_f1", "tags, macro-F1", **against), loss
        reading = f"strict ({self.scheme})" if self.strict else "lenient"
        f1 = Score(f"{name}_f1", f"entities, {reading} F1", **against)
        others = (Score(f"{name}_{one}", f"entities, {reading} {one}") for one in ("precision", "recall"))
        return f1, *others, accuracy, loss

    def judge(self, decoded: Mapping[str, np.ndarray], held_out: Batch) -> dict[str, float]:
        return self._judge(decoded["said"], held_out)

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """Scores of always giving the most frequent tag of the held-out set."""
        gold = held_out[f"{self.name}s"][held_out["word_numbers"] > 0]
        if not len(gold):
            return {}
        counts = np.bincount(gold)
        said = np.full_like(held_out[f"{self.name}s"], counts.argmax())
        found = self._judge(said, held_out)
        f1 = {f"{self.name}_majority_f1": value for name, value in found.items() if name == f"{self.name}_f1"}
        return {f"{self.name}_majority": float(counts.max() / counts.sum())} | f1

    def _judge(self, said: np.ndarray, held_out: Batch) -> dict[str, float]:
        """The scores of predicted tags, int32 [rows, S], but those that are means."""
        number = held_out["word_numbers"]
        place = np.nonzero(number)
        order = np.argsort(number[place])
        both = [ids[place][order] for ids in (held_out[f"{self.name}s"], said)]
        if self.scheme == BARE:
            found = {"f1": agreement.macro_f1(*both)}
        else:
            ends = np.flatnonzero(np.diff(number[place][order]) > 1) + 1
            gold, predicted = ([[self.names[i] for i in ids.tolist()] for ids in np.split(each, ends)] for each in both)
            entities = score_entities(gold, predicted, self.scheme if self.strict else "").micro
            found = {"f1": entities.f1, "precision": entities.precision, "recall": entities.recall}
        return {f"{self.name}_{name}": value for name, value in found.items() if value is not None}
