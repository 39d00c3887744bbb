"""The map of words."""

import numpy as np
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from bert_jax.inspection.fonts import drawable
from bert_jax.inspection.words import WordMap
from bert_jax.reporting.figure_style import DPI, NORMAL, PAGE, dress
from bert_jax.reporting.panel import COLORS

# Where the name of a point may stand, in points from it: the first place that covers no other name is taken.
PLACES = [
    (dx * distance, dy * distance, ha, va)
    for distance in (1, 2.2, 3.6)
    for dx, dy, ha, va in (
        (4, 0, "left", "center"),
        (-4, 0, "right", "center"),
        (0, 4, "center", "bottom"),
        (0, -4, "center", "top"),
        (3, 3, "left", "bottom"),
        (-3, 3, "right", "bottom"),
        (3, -3, "left", "top"),
        (-3, -3, "right", "top"),
    )
]


def draw_word_map(found: WordMap) -> Figure:
    """Draws the words as points with their names. Both axes have the same scale, so that distances are true.

    Returns:
      A matplotlib `Figure`.
    """
    texts, families = drawable(found.words)
    low, high = found.places.min(0), found.places.max(0)
    spread = np.maximum(high - low, 1e-6)
    width = 0.72 * PAGE
    height = float(np.clip(width * spread[1] / spread[0], 2.5, 4.5))
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    axis.plot(*found.places.T, "o", color=COLORS[0], markersize=3)
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(0.12)
    first, second = (f"{100 * share:.0f} %" for share in found.variance)
    dress(axis, x=f"first principal component, {first} of the variance", y=f"second, {second}")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()  # so that places on the page are known
    points = axis.transData.transform(found.places)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in points]
    for text, place in zip(texts, found.places, strict=True):
        name = axis.annotate(text, place, (0, 0), textcoords="offset points", fontsize=NORMAL, family=families)
        taken.append(_put(name, taken, renderer))
    return figure


def _put(name: Annotation, taken: list[Bbox], renderer: RendererBase) -> Bbox:
    """Moves a name to the place that covers least, and returns what it takes."""

    def extent(dx: float, dy: float, ha: str, va: str) -> Bbox:
        name.set(position=(dx, dy), ha=ha, va=va)
        return name.get_window_extent(renderer)

    def covered(place: tuple) -> float:
        own = extent(*place)
        both = (Bbox.intersection(own, other) for other in taken)
        return sum(box.width * box.height for box in both if box is not None)

    return extent(*min(PLACES, key=covered))
