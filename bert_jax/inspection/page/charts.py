"""Line charts as SVG."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_jax.inspection.page.markup import escaped
from bert_jax.reporting.smoothing import usual_range

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 12, 40
MOST_POINTS = 400  # of a line; others lie within its width


@dataclasses.dataclass(frozen=True)
class ChartLine:
    """A line of a chart.

    Attributes:
      label: for the legend; empty: none.
      x, y: [n], its points.
      color: its colour.
      dash: of SVG, such as `6 4`; empty: solid.
      pale: whether it is drawn behind the others, as what is noisy.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    color: str
    dash: str = ""
    pale: bool = False


def line_chart(title: str, lines: Sequence[ChartLine], x_label: str) -> str:
    """Returns a figure with a title, axes, a legend and lines; empty if no line has points."""
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return ""
    ranges = [usual_range(line.y) for line in lines if not line.pale] or [usual_range(line.y) for line in lines]
    y_ticks = _ticks(min(low for low, _ in ranges), max(high for _, high in ranges))
    x_ticks = _ticks(min(0.0, *(line.x.min() for line in lines)), max(line.x.max() for line in lines))
    low, high, left, right = y_ticks[0], y_ticks[-1], x_ticks[0], x_ticks[-1]

    def across(x: Any) -> Any:
        return LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)

    def down(y: Any) -> Any:
        return TOP + (high - np.clip(y, low, high)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in y_ticks:
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down(tick):.1f}" y2="{down(tick):.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 6}" y="{down(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for tick in x_ticks:
        parts.append(f'<text x="{across(tick):.1f}" y="{HEIGHT - 22}" text-anchor="middle">{_number(tick)}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escaped(x_label)}</text>'
    )
    for line in sorted(lines, key=lambda line: not line.pale):
        x, y = _thinned(line)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across(x), down(y), strict=True))
        style = f'stroke="{line.color}" stroke-dasharray="{line.dash}" class="{"pale" if line.pale else "line"}"'
        parts.append(f'<polyline points="{points}" {style}/>')
        if len(x) == 1 and not line.pale:
            parts.append(f'<circle cx="{across(x[0]):.1f}" cy="{down(y[0]):.1f}" r="3" fill="{line.color}"/>')
    legend = "".join(
        f'<span><svg width="26" height="8" aria-hidden="true"><line x1="0" x2="26" y1="4" y2="4" class="line"'
        f' stroke="{line.color}" stroke-dasharray="{line.dash}"/></svg> {escaped(line.label)}</span>'
        for line in lines
        if line.label
    )
    title = escaped(title)
    box = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'
    heading = f'<figcaption>{title}</figcaption><div class="legend">{legend}</div>'
    return f'<figure class="chart">{heading}\n{box}</figure>\n'


def _thinned(line: ChartLine) -> tuple[np.ndarray, np.ndarray]:
    step = -(-len(line.x) // MOST_POINTS)
    keep = np.unique(np.append(np.arange(0, len(line.x), step), len(line.x) - 1))
    return line.x[keep], line.y[keep]


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers, of which the first is at most `low` and the last at least `high`."""
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 10):g}"
