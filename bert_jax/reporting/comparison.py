"""Several runs in one picture and one table, whatever they have in common."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from etils import epath

from bert_jax import configuration, storage
from bert_jax.errors import ConfigError
from bert_jax.reporting.markdown import table
from bert_jax.reporting.panel import COLORS, DASHES, GREY, Line, Panel, draw_panels
from bert_jax.reporting.run_record import TOKENS, X_AXES, RunRecord, read_run, short_names
from bert_jax.reporting.scores import Score, baseline_words, scores_of
from bert_jax.training.progress import duration

PICTURE, TABLE = "curves.png", "comparison.md"
NOTHING = "–"


def write_comparison(workdirs: Sequence[epath.PathLike], output: epath.PathLike, x_axis: str = "step") -> str:
    """Writes `comparison.md` and `curves.png`; returns the text.

    Args:
      workdirs: of the runs, finished or not.
      output: the folder to write to; an earlier comparison in it is replaced.
      x_axis: one of `X_AXES`.

    Raises:
      ConfigError: no run, one that is none or is given twice, an axis that no run recorded, or an output that holds
        something else.
    """
    if not workdirs:
        raise ConfigError("There is nothing to compare: give the folders of runs.")
    runs = [read_run(workdir) for workdir in workdirs]
    paths = [run.path.resolve() for run in runs]
    for run, path in zip(runs, paths, strict=True):
        if paths.count(path) > 1:
            raise ConfigError(f"{run.path} is given twice: leave one out.")
    names = short_names(runs)
    missing = [name for name, run in zip(names, runs, strict=True) if run.step and run.x([0.0], x_axis) is None]
    if len(missing) == len(runs):
        raise ConfigError(f"No run recorded what --x={x_axis} needs: use --x=step.")
    output = epath.Path(output)
    _make(output)
    draw_runs(runs, names, output / PICTURE, x_axis)
    lines = [f"# {', '.join(names)}\n", f"![curves]({PICTURE})\n"]
    if missing:
        lines.append(f"Not in the picture, without a record of {X_AXES[x_axis]}: {', '.join(missing)}.\n")
    text = "\n".join([*lines, *comparison_table(runs, names)])
    storage.write_bytes(output / TABLE, text.encode())
    return text


def _make(output: epath.Path) -> None:
    """Makes the folder, or takes that of an earlier comparison."""
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output={output} is a file: choose a folder.")
    others = output.exists() and {file.name for file in output.iterdir()} - {PICTURE, TABLE}
    if others:
        raise ConfigError(f"--output={output} holds something else ({min(others)}): choose another folder.")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output={output} cannot be made: {error.strerror}.") from None


def draw_runs(runs: Sequence[RunRecord], names: Sequence[str], file: epath.PathLike, x_axis: str = "step") -> None:
    """Draws a panel for each quantity and a line for each run, in the run's colour.

    Args:
      runs: in the order of the legend. names: theirs.
      file: the PNG to write.
      x_axis: one of `X_AXES`; runs that did not record it have no line.
    """
    # With more runs than colours the same colours come again, dashed.
    styles = [(color, dash) for dash, color in itertools.product(DASHES, COLORS)]
    looks = [styles[i % len(styles)] for i in range(len(runs))]

    def panel(title: str, name: str, noisy: bool = False, of: Sequence[int] = range(len(runs)), **shape) -> Panel:
        lines = [Line(runs[i], name, color=looks[i][0], dash=looks[i][1], noisy=noisy) for i in of]
        return Panel(title, lines, **shape)

    panels = []
    for title, scores in _by_title(runs).items():
        if "/" in (name := next(iter(scores.values())).name):
            continue
        levels = {i: level for i, score in scores.items() if (level := score.baseline_value(runs[i])) is not None}
        shared = len(set(levels.values())) == 1
        drawn = [(level, baseline_words(scores[i]), GREY if shared else looks[i][0]) for i, level in levels.items()]
        drawn = drawn[:1] if shared else drawn
        title = title[0].upper() + title[1:]
        panels.append(panel(f"{title}: held out", f"eval/{name}", of=list(scores), levels=drawn))
        panels.append(panel(f"{title}: training", f"train/{name}", noisy=True, of=list(scores)))
    panels += [
        panel("Learning rate", "train/learning_rate", from_zero=True),
        panel("Gradient norm", "train/grad_norm", noisy=True, log=True),
        panel("Throughput, real tokens a second", "train/tokens_per_second", noisy=True, from_zero=True),
        panel("MFU, % of the measured matrix peak", "train/mfu", noisy=True, from_zero=True, scale=100),
    ]
    legend = [(name, *look) for name, look in zip(names, looks, strict=True)]
    draw_panels(panels, file, x_axis, names=legend)


def _by_title(runs: Sequence[RunRecord]) -> dict[str, dict[int, Score]]:
    """The kinds of scores, each with the runs (by number) that have it."""
    found: dict[str, dict[int, Score]] = {}
    for i, run in enumerate(runs):
        for score in scores_of(run):
            found.setdefault(score.title, {})[i] = score
    return found


def comparison_table(runs: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    """Lines of a Markdown table: scores, gains, cost and differing settings, a column a run."""

    def row(title: str, cells: Sequence[str]) -> list[list[str]]:
        return [[title, *(cell or NOTHING for cell in cells)]] if any(cells) else []

    def numbers(
        title: str, value: Callable[[RunRecord], float | None], form: Callable[[float], str]
    ) -> list[list[str]]:
        return row(title, ["" if (v := value(run)) is None else form(v) for run in runs])

    rows: list[list[str]] = []
    same = _same_held_out_sets(runs)
    for title, scores in _by_title(runs).items():
        values = [scores[i].value(run) if i in scores else None for i, run in enumerate(runs)]
        gains = [scores[i].gain(run) if i in scores else None for i, run in enumerate(runs)]
        rows += row(title, _texts(values, mark_best=same, lowest=next(iter(scores.values())).lower_is_better))
        words = {baseline_words(score) for score in scores.values() if score.baseline}
        rows += row(f"… better than {' or '.join(sorted(words))} by", _texts(gains, mark_best=True))
    rows += row("steps", [_steps(run) for run in runs])
    rows += numbers("real tokens", lambda run: run.tokens, "{:,.0f}".format)
    rows += numbers("real tokens a second (median)", lambda run: run.median(TOKENS), "{:,.0f}".format)
    rows += numbers("MFU (median)", lambda run: run.median("train/mfu"), "{:.1%}".format)
    rows += numbers("time of training", lambda run: run.seconds, duration)
    rows += numbers("device hours", lambda run: run.device_hours, "{:,.3g}".format)
    rows += numbers("FLOPs, real tokens only", lambda run: run.flops, "{:.3g}".format)
    rows += row("devices", [str(run.starts[-1].get("devices") or "") if run.starts else "" for run in runs])
    for field in dict.fromkeys(field for run in runs for field in run.config):
        values = [_setting(run, field) for run in runs]
        if len(set(values)) > 1:
            rows += row(f"`{field}`", values)
    return [*table(["", *names], rows, numbers=True), *_remarks(runs)]


def _remarks(runs: Sequence[RunRecord]) -> list[str]:
    """What is to be known before the columns are read against each other."""
    remarks = []
    if not _same_held_out_sets(runs):
        remarks.append(
            "The runs were scored on different held-out sets, for their baselines differ: compare what they are better"
            " by, not their losses.\n"
        )
    if len({run.last_evaluation.get("step") for run in runs if run.last_evaluation}) > 1:
        remarks.append("Scores are those of each run's last evaluation, after different numbers of steps.\n")
    return remarks


def _same_held_out_sets(runs: Sequence[RunRecord]) -> bool:
    """Whether the baselines, which depend on the targets alone, are equal."""
    baselines = [run.last_evaluation.get("eval/unigram_mlm_loss") for run in runs]
    return len({f"{value:.5f}" for value in baselines if value is not None}) <= 1


def _texts(values: Sequence[float | None], mark_best: bool, lowest: bool = False) -> list[str]:
    """As text, the best of several in bold."""
    present = [value for value in values if value is not None]
    best = f"{(min if lowest else max)(present):.3f}" if mark_best and len(present) > 1 else None
    texts = ["" if value is None else f"{value:.3f}" for value in values]
    return [f"**{text}**" if text == best and len(set(texts)) > 1 else text for text in texts]


def _steps(run: RunRecord) -> str:
    unfinished = run.num_steps and run.step < run.num_steps
    return f"{run.step:,} of {run.num_steps:,}" if unfinished else f"{run.step:,}"


def _setting(run: RunRecord, field: str) -> str:
    if field not in run.config:
        return ""
    value: Any = run.config[field]
    return configuration.NONE if value is None else str(value) or "(empty)"
