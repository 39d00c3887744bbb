"""Comparison of runs in one figure and one table. The runs need not have anything in common."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from etils import epath
from matplotlib.figure import Figure

from bert_jax import configuration, storage
from bert_jax.errors import ConfigError
from bert_jax.markdown import table
from bert_jax.reporting.panel import COLORS, DASHES, GREY, Line, Panel, draw_panels
from bert_jax.reporting.run_record import TOKENS, X_AXES, RunRecord, read_run, short_names
from bert_jax.reporting.run_scores import as_text, baseline_value, gain, scores_of, value
from bert_jax.scores import Score
from bert_jax.training.progress import duration

PICTURE, TABLE = "curves.png", "comparison.md"
NOTHING = "–"


def write_comparison(workdirs: Sequence[epath.PathLike], output: epath.PathLike, x_axis: str = "step") -> str:
    """Writes `comparison.md` and `curves.png`, and returns the text.

    Args:
      workdirs: folders of runs, finished or not.
      output: the folder to write to; an earlier comparison in it is replaced.
      x_axis: one of `X_AXES`.

    Raises:
      ConfigError: there is no run, a folder holds no run or is given twice, no run recorded the axis, or `output` holds
        other files.
    """
    if not workdirs:
        raise ConfigError("There is nothing to compare: give the workdirs of some runs.")
    runs = [read_run(workdir) for workdir in workdirs]
    paths = [run.path.resolve() for run in runs]
    for run, path in zip(runs, paths, strict=True):
        if paths.count(path) > 1:
            raise ConfigError(f"{run.path} is given twice: leave one out.")
    names = short_names(runs)
    missing = [name for name, run in zip(names, runs, strict=True) if run.step and run.x(np.zeros(1), x_axis) is None]
    if len(missing) == len(runs):
        raise ConfigError(f"No run recorded the values for --x={x_axis}: use --x=step.")
    output = epath.Path(output)
    _make(output)
    draw_runs(runs, names, output / PICTURE, x_axis)
    lines = [f"# {', '.join(names)}\n", f"![curves]({PICTURE})\n"]
    if missing:
        lines.append(f"Not in the figure, because they did not record {X_AXES[x_axis]}: {', '.join(missing)}.\n")
    text = "\n".join([*lines, *comparison_table(runs, names)])
    storage.write_bytes(output / TABLE, text.encode())
    return text


def _make(output: epath.Path) -> None:
    """Makes the folder; that of an earlier comparison may exist."""
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output={output} is a file: choose a folder.")
    others = output.exists() and {file.name for file in output.iterdir()} - {PICTURE, TABLE}
    if others:
        raise ConfigError(f"--output={output} holds other files ({min(others)}): choose another folder.")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output={output} cannot be created: {error.strerror}.") from None


def draw_runs(
    runs: Sequence[RunRecord], names: Sequence[str], file: epath.PathLike | None = None, x_axis: str = "step"
) -> Figure:
    """Draws a panel for each quantity, with a line for each run, and returns the figure.

    Args:
      runs: the runs, in the order of the legend.
      names: a name for each run.
      file: the PNG file to write; None: none.
      x_axis: one of `X_AXES`; runs that did not record it have no line.
    """
    # If there are more runs than colours, the colours repeat with dashes.
    styles = [(color, dash) for dash, color in itertools.product(DASHES, COLORS)]
    looks = [styles[i % len(styles)] for i in range(len(runs))]

    def panel(title: str, name: str, noisy: bool = False, of: Sequence[int] = range(len(runs)), **shape: Any) -> Panel:
        lines = [Line(runs[i], name, color=looks[i][0], dash=looks[i][1], noisy=noisy) for i in of]
        return Panel(title, lines, **shape)

    panels = []
    for title, scores in _by_title(runs).items():
        if "/" in (name := next(iter(scores.values())).name):
            continue
        levels = {i: level for i, score in scores.items() if (level := baseline_value(score, runs[i])) is not None}
        shared = len(set(levels.values())) == 1
        drawn = [(level, scores[i].baseline_title, GREY if shared else looks[i][0]) for i, level in levels.items()]
        drawn = drawn[:1] if shared else drawn
        title = title[0].upper() + title[1:]
        panels.append(panel(f"{title}: held out", f"eval/{name}", of=list(scores), levels=drawn))
        panels.append(panel(f"{title}: training", f"train/{name}", noisy=True, of=list(scores)))
    panels += [
        panel("Learning rate", "train/learning_rate", from_zero=True),
        panel("Gradient norm", "train/grad_norm", noisy=True, log=True),
        panel("Throughput, real tokens per second", "train/tokens_per_second", noisy=True, from_zero=True),
        panel("MFU, % of the measured matrix peak", "train/mfu", noisy=True, from_zero=True, scale=100),
    ]
    legend = [(name, *look) for name, look in zip(names, looks, strict=True)]
    return draw_panels(panels, file, x_axis, names=legend)


def _by_title(runs: Sequence[RunRecord]) -> dict[str, dict[int, Score]]:
    """Groups the scores by title: the score of each run that has it, by the number of the run."""
    found: dict[str, dict[int, Score]] = {}
    for i, run in enumerate(runs):
        for score in scores_of(run):
            found.setdefault(score.title, {})[i] = score
    return found


def comparison_table(runs: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    """Returns the lines of a Markdown table with a column per run: scores, gains, cost and settings that differ."""

    def row(title: str, cells: Sequence[str]) -> list[list[str]]:
        return [[title, *(cell or NOTHING for cell in cells)]] if any(cells) else []

    def numbers(
        title: str, number: Callable[[RunRecord], float | None], form: Callable[[float], str]
    ) -> list[list[str]]:
        return row(title, ["" if (v := number(run)) is None else form(v) for run in runs])

    rows: list[list[str]] = []
    alike = _same_vocabulary(runs)
    same = alike and _same_held_out_sets(runs)
    for title, scores in _by_title(runs).items():
        values = [value(scores[i], run) if i in scores else None for i, run in enumerate(runs)]
        gains = [gain(scores[i], run) if i in scores else None for i, run in enumerate(runs)]
        rows += row(title, _texts(values, mark_best=same, lowest=next(iter(scores.values())).lower_is_better))
        words = {score.baseline_title for score in scores.values() if score.baseline}
        rows += row(f"… better than {' or '.join(sorted(words))} by", _texts(gains, mark_best=alike))
    rows += row("steps", [_steps(run) for run in runs])
    rows += numbers("real tokens", lambda run: run.tokens, "{:,.0f}".format)
    rows += numbers("real tokens per second (median)", lambda run: run.median(TOKENS), "{:,.0f}".format)
    rows += numbers("MFU (median)", lambda run: run.median("train/mfu"), lambda share: f"{100 * share:.1f} %")
    rows += numbers("training time", lambda run: run.seconds, duration)
    rows += numbers("device hours", lambda run: run.device_hours, "{:,.3g}".format)
    rows += numbers("FLOPs, real tokens only", lambda run: run.flops, "{:.3g}".format)
    rows += row("devices", [str(run.starts[-1].get("devices") or "") if run.starts else "" for run in runs])
    for field in dict.fromkeys(field for run in runs for field in run.config):
        values = [_setting(run, field) for run in runs]
        if len(set(values)) > 1:
            rows += row(f"`{field}`", values)
    return [*table(["", *names], rows, numbers=True), *_remarks(runs)]


def _remarks(runs: Sequence[RunRecord]) -> list[str]:
    """Notes on whether the columns are comparable."""
    remarks = []
    if not _same_vocabulary(runs):
        remarks.append(
            "The runs have different vocabularies, so their tokens differ: losses and accuracies per token do not"
            " compare, and neither do gains.\n"
        )
    elif not _same_held_out_sets(runs):
        remarks.append(
            "The runs were scored on different held-out sets, because their baselines differ: compare their gains over"
            " the baselines, not their losses.\n"
        )
    if len({run.evaluation.get("step") for run in runs if run.evaluation}) > 1:
        which = "best or last" if any(run.best for run in runs) else "last"
        remarks.append(f"The scores are from the {which} evaluation of each run, after different numbers of steps.\n")
    return remarks


def _same_vocabulary(runs: Sequence[RunRecord]) -> bool:
    return len({run.data_fingerprints.get("tokenizer") for run in runs}) == 1


def _same_held_out_sets(runs: Sequence[RunRecord]) -> bool:
    """Whether all runs have the same baselines, which depend on the held-out set only."""
    levels: dict[str, set[str]] = {}
    for run in runs:
        for score in run.scores:
            if (level := baseline_value(score, run)) is not None:
                levels.setdefault(score.baseline, set()).add(f"{level:.5f}")
    return all(len(values) == 1 for values in levels.values())


def _texts(values: Sequence[float | None], mark_best: bool, lowest: bool = False) -> list[str]:
    """Formats values, with the best of several in bold."""
    present = [value for value in values if value is not None]
    best = as_text((min if lowest else max)(present)) if mark_best and len(present) > 1 else None
    texts = ["" if value is None else as_text(value) for value in values]
    return [f"**{text}**" if text == best and len(set(texts)) > 1 else text for text in texts]


def _steps(run: RunRecord) -> str:
    if run.stopped_early:
        return f"{run.step:,} of {run.num_steps:,} (stopped early)"
    return f"{run.step:,}" if run.is_finished else f"{run.step:,} of {run.num_steps:,}"


def _setting(run: RunRecord, field: str) -> str:
    if field not in run.config:
        return ""
    value: Any = run.config[field]
    return configuration.NONE if value is None else str(value) or "(empty)"
