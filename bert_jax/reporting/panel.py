"""Panels of one picture: what both the curves of a run and the comparison of several are drawn with."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from etils import epath
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, ScalarFormatter

from bert_jax.reporting.run_record import X_AXES, RunRecord
from bert_jax.reporting.smoothing import reach, smoothed, usual_range

# Okabe & Ito 2008, told apart by colour-blind readers too; yellow is left out, which fades on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
GREY = "#666666"
COLUMNS, WIDTH, HEIGHT = 2, 5.5, 3.3  # inches a panel
SMALLEST_TO_SMOOTH = 20  # values
FEW = 20  # values that are marked


@dataclasses.dataclass(frozen=True)
class Line:
    """One logged value of one run.

    Attributes:
      noisy: measured on one batch or interval: drawn smoothed, and single values may leave the frame.
      raw: of a noisy line, draw the values themselves as well.
    """

    run: RunRecord
    name: str
    label: str | None = None
    color: str = COLORS[0]
    dash: str = "-"
    noisy: bool = False
    raw: bool = False


@dataclasses.dataclass(frozen=True)
class Panel:
    """One quantity.

    Attributes:
      title: with its unit.
      levels: (height, label, colour) of dashed lines to read the others against.
      scale: what logged values are multiplied by.
    """

    title: str
    lines: Sequence[Line]
    levels: Sequence[tuple[float, str | None, str]] = ()
    log: bool = False
    from_zero: bool = False
    scale: float = 1.0


def draw_panels(
    panels: Sequence[Panel],
    file: epath.PathLike,
    x_axis: str = "step",
    marks: Sequence[tuple[float, str]] = (),
    names: Sequence[tuple[str, str, str]] = (),
    note: str = "",
) -> None:
    """Draws panels into one picture.

    Args:
      panels: those without any value are left out.
      file: the PNG to write.
      x_axis: one of `X_AXES`.
      marks: (x, dash) of vertical lines.
      names: (label, colour, dash) of a legend for all panels.
      note: a line below, to which what was smoothed or left the frame is added.
    """
    panels = [panel for panel in panels if any(_points(line, panel, x_axis) for line in panel.lines)]
    rows = max(1, -(-len(panels) // COLUMNS))
    figure = Figure(figsize=(COLUMNS * WIDTH, rows * HEIGHT + 0.5), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    notes = [note] if note else []
    drawn = [points[0].max() for panel in panels for line in panel.lines if (points := _points(line, panel, x_axis))]
    end = max(drawn, default=1.0)
    widths, beyond = set(), False
    for axis, panel in zip(axes, panels, strict=False):
        found, outside = _draw(axis, panel, x_axis)
        widths, beyond = widths | found, beyond or outside
        axis.set_xlim(-0.02 * end, 1.02 * end)
        for x, dash in marks:
            axis.axvline(x, color=GREY, linestyle=dash, linewidth=0.8, zorder=0)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    if names:
        handles = [axes[0].plot([], [], color=color, linestyle=dash)[0] for _, color, dash in names]
        columns = max(1, min(4, 100 // max(len(label) for label, *_ in names)))
        labels = [label for label, *_ in names]
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False)
    if widths:
        several = f"{min(widths)} to {max(widths)}" if len(widths) > 1 else f"{max(widths)}"
        pale = "; pale: as logged" if any(line.raw for panel in panels for line in panel.lines) else ""
        notes.append(f"Training, smoothed: the mean of the middle half of {several} logged values around each{pale}.")
    if beyond:
        notes.append("Triangles at the edge of a frame: single values beyond it.")
    if notes:
        figure.supxlabel("\n".join(notes), fontsize=8, color=GREY, x=0.01, ha="left")
    with epath.Path(file).open("wb") as handle:
        figure.savefig(handle, format="png", dpi=110)


def _points(line: Line, panel: Panel, x_axis: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Its x [n] and y [n]; None without any."""
    steps, values = line.run.series(line.name)
    x, y = line.run.x(steps, x_axis), values * panel.scale
    if x is not None and panel.log:
        x, y = x[y > 0], y[y > 0]
    return (x, y) if x is not None and len(x) else None


def _draw(axis: Axes, panel: Panel, x_axis: str) -> tuple[set[int], bool]:
    """Draws one panel; returns over how many values it was smoothed, and whether some lie beyond the frame."""
    widths, drawn, outside = set(), [], False
    ranges = [(level, level) for level, *_ in panel.levels]
    width = 1.6 if len(panel.lines) < 8 else 1.1
    for level, label, color in panel.levels:
        axis.axhline(level, color=color, linestyle="--", linewidth=1, label=label, zorder=1)
    for line in panel.lines:
        points = _points(line, panel, x_axis)
        if points is None:
            continue
        x, y = points
        style = {"color": line.color, "linestyle": line.dash, "label": line.label}
        if line.noisy and len(y) >= SMALLEST_TO_SMOOTH:
            half = reach(len(y))
            if line.raw:
                axis.plot(x, y, color=line.color, alpha=0.45, linewidth=0.6)
            strong = smoothed(y, half)
            axis.plot(x, strong, linewidth=width, **style)
            y = y if line.raw else strong
            widths.add(2 * half + 1)
        else:
            axis.plot(x, y, marker="o" if len(y) <= FEW else None, markersize=3, linewidth=width, **style)
        ranges.append(usual_range(y, panel.log))
        drawn.append((x, y, line.color))
    low, high = _with_margin(min(a for a, _ in ranges), max(b for _, b in ranges), panel)
    for x, y, color in drawn:
        for beyond, height, marker in ((y > high, 1, "^"), (y < low, 0, "v")):
            if beyond.any():
                place = {"transform": axis.get_xaxis_transform(), "clip_on": False, "linestyle": "none"}
                axis.plot(x[beyond], np.full(beyond.sum(), height), marker, color=color, markersize=4, **place)
                outside = True
    _dress(axis, panel, x_axis, low, high)
    return widths, outside


def _dress(axis: Axes, panel: Panel, x_axis: str, low: float, high: float) -> None:
    """Title, legend, frame, ticks."""
    if panel.log:
        axis.set_yscale("log")
        digits = "23456789" if high / low < 6 else "25" if high / low < 100 else ""
        axis.yaxis.set_minor_formatter(FuncFormatter(lambda y, _: f"{y:g}" if f"{y:e}"[0] in digits else ""))
    plain = FuncFormatter(lambda y, _: f"{y:g}")
    axis.yaxis.set_major_formatter(FuncFormatter(_short) if high >= 10_000 else plain if panel.log else _decimals())
    axis.xaxis.set_major_formatter(
        {"step": FuncFormatter(lambda x, _: f"{x:,.0f}"), "tokens": FuncFormatter(_short), "hours": _decimals()}[x_axis]
    )
    axis.xaxis.get_major_locator().set_params(integer=x_axis == "step", nbins=6)
    axis.set(xlabel=X_AXES[x_axis], ylim=(low, high))
    axis.tick_params(labelsize=9, which="both")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    # A label that comes again, as for baselines in the colours of their runs, is told once.
    handles = dict(reversed([*zip(*reversed(axis.get_legend_handles_labels()), strict=True)]))
    labels, columns = list(handles)[::-1], 4
    if labels:
        # Between title and frame, where it can cover no curve.
        place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 0.99), "borderaxespad": 0.2}
        axis.legend(
            [handles[label] for label in labels],
            labels,
            ncols=columns,
            frameon=False,
            fontsize=8,
            columnspacing=1.2,
            handlelength=1.6,
            **place,
        )
    axis.set_title(panel.title, loc="left", fontsize=10.5, pad=6 + 14 * -(-len(labels) // columns))


def _short(number: float, _position: int | None = None) -> str:
    """`2.5 M`."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g} {letter}"
    return f"{number:g}"


def _decimals() -> ScalarFormatter:
    """All ticks with as many decimals, and whole numbers."""
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_scientific(False)
    return formatter


def _with_margin(low: float, high: float, panel: Panel) -> tuple[float, float]:
    if panel.log:
        factor = max((high / low) ** 0.06, 1.05)
        return low / factor, high * factor
    low = 0.0 if panel.from_zero else low
    margin = max(0.06 * (high - low), 0.01 * abs(high)) or 1.0
    return (0.0 if panel.from_zero else low - margin), high + margin
