"""A run over time as a picture."""

from typing import Any

import numpy as np
from etils import epath
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bert_jax.inspection.over_time import OverTime
from bert_jax.inspection.over_time_tables import TITLES
from bert_jax.reporting.curves import DEPTHS
from bert_jax.reporting.figure_style import DPI, PAGE, SMALL, dress
from bert_jax.reporting.panel import COLORS, DASHES, GREY, written
from bert_jax.reporting.run_record import RunRecord
from bert_jax.reporting.run_scores import baseline_value, scores_of

FEW = 6  # layers that are all named in a legend
NARROW = 0.2  # accuracies that a frame spans at least
PROBE, ACCURACY = "probe_", "_accuracy"  # around the name of a probe, see `objectives/linear_probe.py`


def draw_over_time(found: OverTime, file: epath.PathLike | None = None) -> Figure:
    """Draws each quantity by layer, and the probes of the run; without probes, its first held-out score.

    Args:
      found: the run.
      file: the PNG file to write; None: none.

    Raises:
      WriteError: it cannot be written.
    """
    figure = Figure(figsize=(PAGE, 4.6), dpi=DPI, layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    for axis, (name, title) in zip(axes, TITLES.items(), strict=False):
        _by_layer(axis, found.steps, getattr(found, name), found.distance.shape[1])
        even = getattr(found, f"even_{name}", None)
        if even is not None:
            axis.axhline(even, color=GREY, linestyle="--", linewidth=1, label="an even look")
        dress(axis, title, "step")
        axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
        axis.legend(frameon=False, fontsize=SMALL)
    dress(axes[3], _scores(axes[3], found.run), "step")
    end = max(int(found.steps.max()), found.run.step)
    for axis in axes:
        axis.set_xlim(-0.02 * end, 1.02 * end)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    note = f"Means over {found.num_texts} texts of {found.num_tokens:,} tokens in all, the same at all steps."
    if any(line.get_label().endswith(": majority") for line in axes[3].lines):
        note += " Majority: always the most frequent label."
    figure.supxlabel(note, fontsize=SMALL, color=GREY, x=0.01, ha="left")
    return written(figure, file)


def _by_layer(axis: Axes, steps: np.ndarray, values: np.ndarray, num_layers: int) -> None:
    # A legend with many layers would hide the curves.
    shown = set(range(num_layers)) if num_layers <= FEW else {0, num_layers // 2, num_layers - 1}
    if values.shape[1] > num_layers:
        axis.plot(steps, values[:, 0], color=COLORS[1], linestyle="--", marker="s", markersize=3, label="embeddings")
    for layer in range(num_layers):
        color = DEPTHS[round(layer * (len(DEPTHS) - 1) / max(num_layers - 1, 1))]
        label = f"layer {layer}" if layer in shown else None
        axis.plot(steps, values[:, layer - num_layers], color=color, marker="o", markersize=3, label=label)


def _scores(axis: Axes, run: RunRecord) -> str:
    """Draws all evaluations, those between the kept steps too, and returns a title."""
    scores = [score for score in scores_of(run) if len(run.series(f"eval/{score.name}")[0])]
    probes = [score for score in scores if score.name.startswith(PROBE) and score.name.endswith(ACCURACY)]
    for i, score in enumerate(probes or scores[:1]):
        label = score.name.removeprefix(PROBE).removesuffix(ACCURACY) if probes else "held out"
        style: dict[str, Any] = {"color": COLORS[i % len(COLORS)], "linestyle": DASHES[i // len(COLORS) % len(DASHES)]}
        axis.plot(*run.series(f"eval/{score.name}"), marker="o", markersize=3, label=label, **style)
        level = baseline_value(score, run)
        if level is not None:
            name = f"{label}: {score.baseline_title}" if probes else score.baseline_title
            axis.axhline(level, color=style["color"], linestyle=":", linewidth=1, label=name)
    low, high = axis.get_ylim()
    if probes and high - low < NARROW:  # else, the noise of single examples would fill the frame
        axis.set_ylim((low + high - NARROW) / 2, (low + high + NARROW) / 2)
    title = "Linear probes, accuracy" if probes else scores[0].title if scores else "No evaluation"
    if scores:
        axis.legend(frameon=False, fontsize=SMALL)
    return title[:1].upper() + title[1:]
