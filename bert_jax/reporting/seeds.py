"""The report of several runs that differ in their seeds alone: the mean and the deviation of each score."""

from collections.abc import Sequence

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.markdown import table
from bert_jax.reporting.comparison import draw_runs
from bert_jax.reporting.report import from_scratch_line
from bert_jax.reporting.results import test_scores
from bert_jax.reporting.run_record import read_run, short_names
from bert_jax.reporting.run_scores import against, as_text, as_text_or_undefined, baseline_value, scores_of, value
from bert_jax.reporting.scratch_run import read_scratch_run

PICTURE = "curves.png"


def write_seeds_report(folder: epath.PathLike, workdirs: Sequence[epath.PathLike]) -> str:
    """Writes `report.md` and `curves.png` into `folder`, and returns the text.

    Raises:
      ConfigError: a folder holds no run.
    """
    folder, runs = epath.Path(folder), [read_run(workdir) for workdir in workdirs]
    names = short_names(runs)
    beside = [scratch for run in runs if (scratch := read_scratch_run(run))]
    tests, tests_beside = ([test_scores(run) for run in some] for some in (runs, beside))
    held_out, on_test = [], []
    for score in scores_of(runs[0]):
        name, title = score.name, score.baseline_title
        held_out.append(
            _row(
                score.title,
                [value(score, run) for run in runs],
                [value(score, run) for run in beside],
                against(baseline_value(score, runs[0]), title),
            )
        )
        on_test.append(
            _row(
                score.title,
                [one.get(name) for one in tests],
                [one.get(name) for one in tests_beside],
                against(tests[0].get(score.baseline), title),
            )
        )
    head = ["", "mean ± deviation", *(["from scratch"] if beside else []), *names, "baseline"]
    parts = ["## Held-out scores\n", *table(head, held_out, numbers=True)]
    if any(tests):
        parts += ["## Test scores\n", *table(head, on_test, numbers=True)]
    draw_runs(runs, names, folder / PICTURE)
    text = "\n".join(
        [
            f"# {folder.name}\n",
            f"{len(runs)} runs that differ in their seeds alone. {runs[0].summary}\n",
            "The deviation is the sample's (n - 1). Each run's folder has a report of its own.\n",
            *([f"{from_scratch_line(beside[0])}\n"] if beside else []),
            *parts,
            f"![curves]({PICTURE})\n",
        ]
    )
    storage.write_bytes(folder / "report.md", text.encode())
    return text


def _row(title: str, values: Sequence[float | None], beside: Sequence[float | None], baseline: str) -> list[str]:
    """A score's mean, that of the runs from scratch, that of each run, and its baseline."""
    means = [mean_and_deviation(values), *([mean_and_deviation(beside)] if beside else [])]
    return [title, *means, *map(as_text_or_undefined, values), baseline]


def mean_and_deviation(values: Sequence[float | None]) -> str:
    """The mean and the sample's deviation of the values that are defined."""
    known = [one for one in values if one is not None]
    if len(known) < 2:
        return as_text_or_undefined(values[0] if len(values) == 1 else None)
    missing = f" ({len(values) - len(known)} undefined)" if len(known) < len(values) else ""
    return f"{as_text(float(np.mean(known)))} ± {as_text(float(np.std(known, ddof=1)))}{missing}"
