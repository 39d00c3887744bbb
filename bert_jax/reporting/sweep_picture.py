"""The picture of a sweep: the score against one setting, with a line for each combination of the others."""

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from etils import epath
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from bert_jax.configuration import as_text
from bert_jax.reporting.figure_style import DPI, PAGE, SMALL, dress
from bert_jax.reporting.panel import COLORS, DASHES, GREY, written
from bert_jax.reporting.run_record import RunRecord
from bert_jax.reporting.run_scores import baseline_value, value
from bert_jax.reporting.scratch_run import read_scratch_run
from bert_jax.scores import Score

AXES = ("num_train_examples", "learning_rate")  # what the x axis shows, if it varies
MARKERS = "osD^v<>"
MANY = 12  # lines; more have a legend in two columns


class Point(Protocol):
    """A combination of settings, see `sweep.Tried`."""

    @property
    def settings(self) -> Any: ...
    @property
    def runs(self) -> Sequence[RunRecord]: ...
    def mean(self, score: Score) -> float | None: ...


def x_axis(points: Sequence[Point]) -> str:
    """Returns the setting for the x axis: the examples or the rate if they vary, else the one with the most values."""
    counts = {name: len({str(one.settings[name]) for one in points}) for name in points[0].settings}
    varied = [name for name in AXES if counts.get(name, 0) > 1]
    return varied[0] if varied else max(counts, key=lambda name: counts[name])


def draw_sweep(
    tried: Sequence[Point], score: Score, best: Sequence[Point], file: epath.PathLike | None = None
) -> Figure:
    """Draws the picture, with bars of one deviation over the seeds, and returns it.

    Args:
      tried: the combinations.
      score: what the y axis shows.
      best: those to mark.
      file: the PNG file to write; None: none.
    """
    across = x_axis(tried)
    ticks = list(dict.fromkeys(one.settings[across] for one in tried))
    numeric = all(isinstance(tick, int | float) and not isinstance(tick, bool) for tick in ticks)
    ticks = sorted(ticks) if numeric else ticks
    log = numeric and len(ticks) > 1 and min(ticks) > 0 and max(ticks) >= 4 * min(ticks)
    place = {tick: tick if numeric else i for i, tick in enumerate(ticks)}
    lines: dict[tuple, list[Point]] = {}
    for one in tried:
        if one.mean(score) is not None:
            lines.setdefault(tuple((k, v) for k, v in one.settings.items() if k != across), []).append(one)
    figure = Figure(figsize=(PAGE, 3.6), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    styles = list(itertools.product(DASHES, zip(COLORS, MARKERS, strict=True)))
    for i, (others, points) in enumerate(lines.items()):
        dash, (color, marker) = styles[i % len(styles)]
        label = ", ".join(f"{name} {as_text(setting).removesuffix('.0')}" for name, setting in others) or score.title
        points = sorted(points, key=lambda one: place[one.settings[across]])
        x = [place[one.settings[across]] for one in points]
        own = [[value(score, run) for run in one.runs] for one in points]
        _line(axis, x, own, label, color=color, linestyle=dash, marker=marker)
        beside = [[value(score, found) for run in one.runs if (found := read_scratch_run(run))] for one in points]
        if any(beside):
            _line(axis, x, beside, f"{label}, from scratch", color=color, linestyle=":", marker=marker, fill="white")
    for one in best:
        mean = one.mean(score)
        assert mean is not None  # it is the best
        axis.plot(
            place[one.settings[across]],
            mean,
            "o",
            markersize=15,
            fillstyle="none",
            color="black",
            zorder=5,
        )
    runs = [run for one in tried for run in one.runs]
    levels = {level for run in runs if (level := baseline_value(score, run)) is not None}
    if len(levels) == 1:
        axis.axhline(levels.pop(), color=GREY, linestyle="--", linewidth=1, label=score.baseline_title or "baseline")
    if log:
        axis.set_xscale("log")
    axis.set_xticks(list(place.values()), [f"{tick:g}" if numeric else str(tick) for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    dress(axis, x=across.replace("_", " "), y=f"{score.title}, held out")
    if axis.get_legend_handles_labels()[1]:
        figure.legend(loc="outside right upper", frameon=False, fontsize=SMALL, ncols=1 + (len(lines) > MANY))
    bars = "; bars: one deviation over the seeds" if any(len(one.runs) > 1 for one in tried) else ""
    figure.supxlabel(f"Circled: the best{bars}.", fontsize=SMALL, color=GREY, x=0.01, ha="left")
    return written(figure, file)


def _line(
    axis: Axes,
    x: Sequence[float],
    values: Sequence[Sequence[float | None]],
    label: str,
    *,
    color: str,
    linestyle: str,
    marker: str,
    fill: str | None = None,
) -> None:
    """Draws the means of the values at each x that has some, with their deviations."""
    known = [(at, [v for v in some if v is not None]) for at, some in zip(x, values, strict=True)]
    known = [(at, some) for at, some in known if some]
    means = [float(np.mean(some)) for _, some in known]
    bars = [float(np.std(some, ddof=1)) if len(some) > 1 else 0.0 for _, some in known]
    axis.errorbar(
        [at for at, _ in known],
        means,
        bars if any(bars) else None,
        label=label,
        color=color,
        linestyle=linestyle,
        linewidth=1.5,
        marker=marker,
        markersize=5,
        markerfacecolor=fill or color,
        capsize=3,
    )
