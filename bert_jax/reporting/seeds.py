"""The report of several runs that differ in their seeds alone: the mean and the deviation of each score."""

from collections.abc import Sequence

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.markdown import table
from bert_jax.reporting.comparison import draw_runs
from bert_jax.reporting.results import read_results
from bert_jax.reporting.run_record import read_run, short_names
from bert_jax.reporting.run_scores import against, as_text, baseline_value, scores_of, value
from bert_jax.tasks.labelled import TEST

PICTURE = "curves.png"


def write_seeds_report(folder: epath.PathLike, workdirs: Sequence[epath.PathLike]) -> str:
    """Writes `report.md` and `curves.png` into `folder`, and returns the text.

    Raises:
      ConfigError: a folder holds no run.
    """
    folder, runs = epath.Path(folder), [read_run(workdir) for workdir in workdirs]
    names = short_names(runs)
    tests = [read_results(workdir).get("scores", {}).get(TEST, {}) for workdir in workdirs]
    held_out, on_test = [], []
    for score in scores_of(runs[0]):
        level, title = baseline_value(score, runs[0]), score.baseline_title
        held_out.append(_row(score.title, [value(score, run) for run in runs], level, title))
        on_test.append(
            _row(
                score.title, [one.get(score.name) for one in tests], tests[0].get(score.baseline), score.baseline_title
            )
        )
    head = ["", "mean ± deviation", *names, "baseline"]
    parts = ["## Held-out scores\n", *table(head, held_out, numbers=True)]
    if any(tests):
        parts += ["## Test scores\n", *table(head, on_test, numbers=True)]
    draw_runs(runs, names, folder / PICTURE)
    text = "\n".join(
        [
            f"# {folder.name}\n",
            f"{len(runs)} runs that differ in their seeds alone. {runs[0].summary}\n",
            "The deviation is the sample's (n - 1). Each run's folder has a report of its own.\n",
            *parts,
            f"![curves]({PICTURE})\n",
        ]
    )
    storage.write_bytes(folder / "report.md", text.encode())
    return text


def _row(title: str, values: Sequence[float | None], baseline: float | None, baseline_title: str) -> list[str]:
    known = [one for one in values if one is not None]
    mean = (
        f"{as_text(float(np.mean(known)))} ± {as_text(float(np.std(known, ddof=1)))}" if len(known) > 1 else "undefined"
    )
    if len(known) < len(values):
        mean += f" ({len(values) - len(known)} undefined)" if len(known) > 1 else ""
    shown = ["undefined" if one is None else as_text(one) for one in values]
    return [title, mean, *shown, against(baseline, baseline_title)]
