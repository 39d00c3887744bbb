"""Panels of a figure, for the curves of one run and for comparisons."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from etils import epath
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

from bert_jax.errors import WriteError
from bert_jax.reporting.figure_style import DPI, PAGE, SMALL, TITLE, dress
from bert_jax.reporting.run_record import X_AXES, RunRecord
from bert_jax.reporting.smoothing import reach, smoothed, usual_range

# Safe for colour-blind readers (Okabe & Ito 2008), without yellow, which is hard to see on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
GREY = "#666666"
COLUMNS, HEIGHT = 2, 2.1  # panels in a row; inches
SMALLEST_TO_SMOOTH = 20  # values; shorter series are drawn as they are
FEW = 20  # values; series up to this length have markers


@dataclasses.dataclass(frozen=True)
class Line:
    """One logged value of one run.

    Attributes:
      noisy: measured on one batch or interval; drawn smoothed, and single values may lie outside the frame.
      raw: for a noisy line, whether to draw the logged values as well.
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
      title: title with the unit.
      levels: (height, label, colour) of dashed reference lines.
      scale: factor for the logged values.
    """

    title: str
    lines: Sequence[Line]
    levels: Sequence[tuple[float, str | None, str]] = ()
    log: bool = False
    from_zero: bool = False
    scale: float = 1.0


def draw_panels(
    panels: Sequence[Panel],
    file: epath.PathLike | None = None,
    x_axis: str = "step",
    marks: Sequence[tuple[float, str]] = (),
    names: Sequence[tuple[str, str, str]] = (),
    note: str = "",
) -> Figure:
    """Draws panels into one figure, and returns it.

    Args:
      panels: the panels; those without values are left out.
      file: the PNG file to write; None: none.
      x_axis: one of `X_AXES`.
      marks: (x, dash) of vertical lines.
      names: (label, colour, dash) of the entries of a legend for all panels.
      note: text below the panels; notes on smoothing and on values outside the frame are added.

    Raises:
      WriteError: the file cannot be written.
    """
    panels = [panel for panel in panels if any(_points(line, panel, x_axis) for line in panel.lines)]
    rows = max(1, -(-len(panels) // COLUMNS))
    figure = Figure(figsize=(PAGE, rows * HEIGHT + 0.35), dpi=DPI, layout="constrained")
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
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=SMALL)
    if widths:
        several = f"{min(widths)} to {max(widths)}" if len(widths) > 1 else f"{max(widths)}"
        pale = "; pale: logged values" if any(line.raw for panel in panels for line in panel.lines) else ""
        notes.append(
            f"Training curves are smoothed: each point is the mean of the middle half of the {several} logged values"
            f" around it{pale}."
        )
    if beyond:
        notes.append("Triangles at the edge of a frame: values outside of it.")
    if notes:
        figure.supxlabel("\n".join(notes), fontsize=SMALL, color=GREY, x=0.01, ha="left")
    return written(figure, file)


def written(figure: Figure, file: epath.PathLike | None) -> Figure:
    """Writes a figure to a PNG file, if there is one, and returns it.

    Raises:
      WriteError: the file cannot be written.
    """
    if file is not None:
        try:
            with epath.Path(file).open("wb") as handle:
                figure.savefig(handle, format="png")
        except OSError as error:
            raise WriteError(f"{file} cannot be written ({error.strerror}): choose another file.") from None
    return figure


def _points(line: Line, panel: Panel, x_axis: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the x [n] and y [n] of a line; None if it has no values."""
    steps, values = line.run.series(line.name)
    x, y = line.run.x(steps, x_axis), values * panel.scale
    if x is not None and panel.log:
        x, y = x[y > 0], y[y > 0]
    return (x, y) if x is not None and len(x) else None


def _draw(axis: Axes, panel: Panel, x_axis: str) -> tuple[set[int], bool]:
    """Draws one panel; returns the smoothing widths, and whether some values lie outside the frame."""
    widths, drawn, outside = set(), [], False
    ranges = [(level, level) for level, *_ in panel.levels]
    width = 1.2 if len(panel.lines) < 8 else 0.8
    for level, label, color in panel.levels:
        axis.axhline(level, color=color, linestyle="--", linewidth=0.8, label=label, zorder=1)
    for line in panel.lines:
        points = _points(line, panel, x_axis)
        if points is None:
            continue
        x, y = points
        style = {"color": line.color, "linestyle": line.dash, "label": line.label}
        if line.noisy and len(y) >= SMALLEST_TO_SMOOTH:
            half = reach(len(y))
            if line.raw:
                axis.plot(x, y, color=line.color, alpha=0.45, linewidth=0.5)
            strong = smoothed(y, half)
            axis.plot(x, strong, linewidth=width, **style)
            y = y if line.raw else strong
            widths.add(2 * half + 1)
        else:
            axis.plot(x, y, marker="o" if len(y) <= FEW else None, markersize=2.5, linewidth=width, **style)
        ranges.append(usual_range(y, panel.log))
        drawn.append((x, y, line.color))
    low, high = _with_margin(min(a for a, _ in ranges), max(b for _, b in ranges), panel)
    for x, y, color in drawn:
        for beyond, height, marker in ((y > high, 1, "^"), (y < low, 0, "v")):
            if beyond.any():
                place = {"transform": axis.get_xaxis_transform(), "clip_on": False, "linestyle": "none"}
                axis.plot(x[beyond], np.full(beyond.sum(), height), marker, color=color, markersize=3, **place)
                outside = True
    _dress(axis, panel, x_axis, low, high)
    return widths, outside


def _dress(axis: Axes, panel: Panel, x_axis: str, low: float, high: float) -> None:
    """Draws the title, legend, frame and ticks."""
    if panel.log:
        axis.set_yscale("log")
        digits = "23456789" if high / low < 6 else "25" if high / low < 100 else ""
        axis.yaxis.set_minor_formatter(FuncFormatter(lambda y, _: f"{y:g}" if f"{y:e}"[0] in digits else ""))
    plain = FuncFormatter(lambda y, _: f"{y:g}")
    axis.yaxis.set_major_formatter(FuncFormatter(_short) if high >= 10_000 else plain if panel.log else _decimals())
    axis.xaxis.set_major_formatter(
        {"step": FuncFormatter(lambda x, _: f"{x:,.0f}"), "tokens": FuncFormatter(_short), "hours": _decimals()}[x_axis]
    )
    locator = axis.xaxis.get_major_locator()
    assert isinstance(locator, MaxNLocator)  # as on every linear axis
    locator.set_params(integer=x_axis == "step", nbins=6)
    dress(axis, panel.title, X_AXES[x_axis])
    axis.set_ylim(low, high)
    # A repeated label, such as that of baselines in the colours of their runs, is shown once.
    handles = dict(reversed([*zip(*reversed(axis.get_legend_handles_labels()), strict=True)]))
    labels, columns = list(handles)[::-1], 4
    if labels:
        # Between title and frame, where it covers no curve.
        axis.legend(
            [handles[label] for label in labels],
            labels,
            loc="lower left",
            bbox_to_anchor=(-0.02, 0.99),
            borderaxespad=0.2,
            ncols=columns,
            frameon=False,
            fontsize=SMALL,
            columnspacing=1.2,
            handlelength=1.6,
        )
    axis.set_title(panel.title, loc="left", fontsize=TITLE, pad=4 + 11 * -(-len(labels) // columns))


def _short(number: float, _position: int | None = None) -> str:
    """Formats a number like `2.5 M`."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g} {letter}"
    return f"{number:g}"


def _decimals() -> ScalarFormatter:
    """Formats all ticks with the same number of decimals, without exponents."""
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
