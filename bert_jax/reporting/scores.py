"""Held-out scores, each with what it is read against."""

import dataclasses
from typing import Any

from bert_jax.reporting.run_record import RunRecord

# data.examples: what is learnt beside the masked words.
SECOND_OBJECTIVES = {
    "bert": "next sentence",
    "balanced": "next sentence",
    "sentence_order": "sentence order",
    "candidates": "next sentence among {group}",
}
BASELINES = {
    "eval/unigram_mlm_loss": "word frequencies",
    "eval/nsp_majority": "majority",
    "eval/nsp_chance": "chance",
}
NOT_A_SCORE = ("eval/seconds", "eval/nsp_loss")


@dataclasses.dataclass(frozen=True)
class Score:
    """A kind of score.

    Attributes:
      title: for people; the same for what may be compared.
      name: it is logged as `eval/NAME`, and where it is measured in training too, as `train/NAME`.
      baseline: what its baseline is logged as; None without one.
      lower_is_better: as for losses.
    """

    title: str
    name: str
    baseline: str | None = None
    lower_is_better: bool = False

    def value(self, run: RunRecord) -> float | None:
        """At the last evaluation."""
        return run.last_evaluation.get(f"eval/{self.name}")

    def baseline_value(self, run: RunRecord) -> float | None:
        return run.last_evaluation.get(self.baseline) if self.baseline else None

    def gain(self, run: RunRecord) -> float | None:
        """By how much the model is better than the baseline."""
        value, baseline = self.value(run), self.baseline_value(run)
        if value is None or baseline is None:
            return None
        return baseline - value if self.lower_is_better else value - baseline


def second_objective(config: dict[str, Any]) -> str | None:
    """What a config by dotted fields has learnt beside masked words; None for nothing."""
    words = SECOND_OBJECTIVES.get(config.get("data.examples"))
    return words and words.format(group=config.get("data.nsp_group_size"))


def scores_of(run: RunRecord) -> list[Score]:
    """Those that the run logs, in the order of a table; unknown ones come last, under their names."""
    logged = [name for name in run.names if name.startswith("eval/") and name not in NOT_A_SCORE]
    names = [n.removeprefix("eval/") for n in logged if n not in BASELINES and "unigram_mlm_loss/" not in n]
    known = ["mlm_loss", "mlm_accuracy", "nsp_accuracy"]
    # Before its first evaluation a run has at least these.
    known = [n for n in known if n in names or f"train/{n}" in run.names] or ["loss"]
    known += [n for n in names if n.startswith("mlm_loss/")]
    return [_score(name, run) for name in known + [n for n in names if n not in known]]


def _score(name: str, run: RunRecord) -> Score:
    kind, _, source = name.partition("/")
    if kind == "mlm_loss":
        title = f"masked language model{f' on {source}' if source else ''}, loss in nats"
        return Score(title, name, "eval/unigram_" + name, lower_is_better=True)
    if name == "mlm_accuracy":
        return Score("masked language model, accuracy", name)
    if name == "nsp_accuracy":
        baseline = next((b for b in ("eval/nsp_majority", "eval/nsp_chance") if b in run.names), None)
        return Score(f"{second_objective(run.config) or 'next sentence'}, accuracy", name, baseline)
    return Score(name, name, lower_is_better=kind.endswith("loss"))


def baseline_words(score: Score) -> str:
    """What its baseline is."""
    return BASELINES["/".join((score.baseline or "").split("/")[:2])]
