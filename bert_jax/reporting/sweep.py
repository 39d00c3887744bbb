"""The report of a sweep: every combination of settings with its scores, the best one, and its test scores."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.configuration import as_text
from bert_jax.errors import counted
from bert_jax.markdown import table
from bert_jax.reporting.results import test_scores
from bert_jax.reporting.run_record import RunRecord
from bert_jax.reporting.run_scores import against, baseline_value, scores_of, value
from bert_jax.reporting.scratch_run import read_scratch_run
from bert_jax.reporting.seeds import mean_and_deviation
from bert_jax.reporting.sweep_picture import draw_sweep
from bert_jax.scores import Score

PICTURE = "sweep.png"
SIZE = "num_train_examples"  # the best is chosen for each size: more examples are no merit of the settings


@dataclasses.dataclass(frozen=True)
class Tried:
    """A combination of settings.

    Attributes:
      name: of its folder.
      settings: its values as they are shown, by the short name of their field.
      runs: its runs, one for each seed; of a failed combination, those up to the failure.
      failure: why there is no score; empty if there is one.
    """

    name: str
    settings: Mapping[str, Any]
    runs: Sequence[RunRecord]
    failure: str = ""

    def values(self, score: Score) -> list[float | None]:
        """Returns a held-out score of each run."""
        return [value(score, run) for run in self.runs]

    def mean(self, score: Score) -> float | None:
        """Returns the mean of a held-out score; None if that of a run is missing or not finite."""
        values = self.values(score)
        finite = [one for one in values if one is not None and math.isfinite(one)]
        return float(np.mean(finite)) if finite and len(finite) == len(values) and not self.failure else None


def score_of(tried: Sequence[Tried]) -> Score | None:
    """Returns the score that the runs keep their best checkpoint by, else the task's first one; None without runs."""
    for run in (run for one in tried for run in one.runs):
        known = scores_of(run)
        by = run.best.by if run.best else None
        return next((score for score in known if score.name == by), known[0])
    return None


def ranked(tried: Sequence[Tried], score: Score) -> list[Tried]:
    """Returns the combinations from the best to the worst; of equal ones the earlier first, undefined ones last."""
    sign = 1 if score.lower_is_better else -1
    return sorted(tried, key=lambda one: math.inf if (mean := one.mean(score)) is None else sign * mean)


def winners(tried: Sequence[Tried]) -> list[Tried]:
    """Returns the best combination by the mean held-out score; for each number of training examples, if it varies."""
    score, found = score_of(tried), {}
    if score is None:
        return []
    for one in ranked(tried, score):
        if one.mean(score) is not None:
            found.setdefault(one.settings.get(SIZE), one)
    order = [one.settings.get(SIZE) for one in tried]
    return [found[size] for size in sorted(found, key=order.index)]


def write_sweep_report(folder: epath.PathLike, tried: Sequence[Tried], notes: Sequence[str] = ()) -> str:
    """Writes `report.md` and `sweep.png` into the folder of a sweep, and returns the text.

    Args:
      folder: where to write.
      tried: all combinations, in the order of the sweep.
      notes: lines to show, such as which combinations were left out.
    """
    folder, score = epath.Path(folder), score_of(tried)
    count = sum(len(one.runs) for one in tried)
    lines = [
        f"# {folder.name}\n",
        f"A sweep: {counted(len(tried), 'combination')} of settings, {counted(count, 'run')}.\n",
    ]
    if score is not None:
        best, order = winners(tried), ranked(tried, score)
        draw_sweep(tried, score, best, folder / PICTURE)
        lines += [*_best(best, score, len(tried)), *_tests(best, tried), *_rows(order, score), f"![sweep]({PICTURE})\n"]
    lines += [f"{note}\n" for note in notes]
    text = "\n".join(lines)
    storage.write_bytes(folder / "report.md", text.encode())
    return text


def _best(best: Sequence[Tried], score: Score, count: int) -> list[str]:
    if not best:
        return ["None is the best: no combination has a score.\n"]
    lines = ["## Best\n"]
    for one in best:
        found = mean_and_deviation(one.values(score))
        lines.append(f"- `{one.name}`: {score.title} {found}.")
    how = "mean held-out score over its seeds" if len(best[0].runs) > 1 else "held-out score"
    for_each = " for each number of training examples" if len(best) > 1 else ""
    lines += [
        "",
        f"Chosen{for_each} by the {how}, out of {count:,} combinations. The highest of several scores is a little too"
        " high, so give the test score, and say how many runs were tried.\n",
    ]
    return lines


def _tests(best: Sequence[Tried], tried: Sequence[Tried]) -> list[str]:
    lines = []
    for one in best:
        tests = [test_scores(run) for run in one.runs]
        if not any(tests):
            continue
        beside = [test_scores(scratch) for run in one.runs if (scratch := read_scratch_run(run))]
        rows = []
        for score in scores_of(one.runs[0]):
            shown = [[test.get(score.name) for test in some] for some in (tests, beside) if some]
            rows.append(
                [
                    score.title,
                    *map(mean_and_deviation, shown),
                    against(tests[0].get(score.baseline), score.baseline_title),
                ]
            )
        head = ["", "model", *(["from scratch"] if beside else []), "baseline"]
        lines += [f"Test scores of `{one.name}`:\n", *table(head, rows, numbers=True)]
    if lines:
        others = sum(any(map(test_scores, one.runs)) for one in tried if one not in best)
        seen = "no other run of the sweep has seen the test split"
        if others:
            seen = (
                f"but {others:,} other combination{'s' * (others > 1)} have seen the test split in earlier sweeps here"
            )
        lines = ["## Test scores\n", f"Of the best alone: {seen}.\n", *lines]
    return lines


def _rows(order: Sequence[Tried], score: Score) -> list[str]:
    names = list(dict.fromkeys(name for one in order for name in one.settings))
    has_scratch = any(read_scratch_run(run) for one in order for run in one.runs)
    rows = []
    for one in order:
        scratch = [value(score, found) for run in one.runs if (found := read_scratch_run(run))]
        steps = sorted({run.step for run in one.runs})
        rows.append(
            [
                *(as_text(one.settings[name]).removesuffix(".0") for name in names),
                " to ".join(f"{step:,}" for step in dict.fromkeys((steps[0], steps[-1]))) if steps else "",
                one.failure or mean_and_deviation(one.values(score)),
                *([mean_and_deviation(scratch) if scratch else ""] if has_scratch else []),
            ]
        )
    head = [*names, "steps", score.title, *(["from scratch"] if has_scratch else [])]
    seeds = len(order[0].runs)
    runs = [run for one in order for run in one.runs]
    baseline = against(baseline_value(score, runs[0]), score.baseline_title) if runs else ""
    about = [f"The deviation is that of {seeds} seeds (n - 1)." if seeds > 1 else ""]
    about += [f"Baseline: {baseline}." if baseline else ""]
    said = " ".join(filter(None, about))
    return ["## All combinations\n", *([f"{said}\n"] if said else []), *table(head, rows, numbers=True)]
