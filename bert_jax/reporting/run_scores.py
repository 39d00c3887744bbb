"""Held-out scores of a run, and their baselines."""

from bert_jax import scores
from bert_jax.reporting.run_record import RunRecord
from bert_jax.scores import Score


def scores_of(run: RunRecord) -> list[Score]:
    """Returns the scores that the run logs, in the order of a table. Scores that no objective declares come last."""
    declared = [score for score in run.scores if _is_logged(score, run)]
    # Before its first evaluation, a run has only its loss.
    declared = declared or [Score("loss", "loss", lower_is_better=True)]
    known = {score.name for score in run.scores} | {score.baseline for score in run.scores} | {"seconds"}
    names = [name.removeprefix("eval/") for name in run.names if name.startswith("eval/")]
    # Values that are also logged in training, such as the loss of one source, are metrics, not scores.
    others = [name for name in names if name not in known and f"train/{name}" not in run.names]
    return declared + [Score(name, name, name.endswith("loss")) for name in others]


def _is_logged(score: Score, run: RunRecord) -> bool:
    return f"eval/{score.name}" in run.names or f"train/{score.name}" in run.names


def parts_of(run: RunRecord, score: Score) -> list[Score]:
    """Returns the parts of a score, such as its values on each source."""
    return [part for part in run.scores if part.name.startswith(f"{score.name}/")]


def value(score: Score, run: RunRecord) -> float | None:
    """Returns a score of the checkpoint that `load` opens: the best one if the run keeps it, else the last."""
    return run.evaluation.get(f"eval/{score.name}")


def baseline_value(score: Score, run: RunRecord) -> float | None:
    """Returns the baseline of a score; None if it has none."""
    return run.evaluation.get(f"eval/{score.baseline}") if score.baseline else None


def gain(score: Score, run: RunRecord) -> float | None:
    """Returns how much better than its baseline a score is; None if one of them is missing."""
    return scores.gain(score, run.evaluation)


def against(baseline: float | None, title: str) -> str:
    """Formats a baseline for a table: its value and what it is; empty if there is none."""
    return "" if baseline is None else f"{as_text(baseline)} ({title})"


def as_text(number: float) -> str:
    """Formats a number with three decimals, without a minus sign before zero."""
    return f"{round(number, 3) + 0.0:.3f}"


def as_text_or_undefined(number: float | None) -> str:
    """Formats a number that may be missing, because the score is not defined for the predictions."""
    return "undefined" if number is None else as_text(number)
