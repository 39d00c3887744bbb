"""Pictures of what is in each layer: predictions at a mask, probes, isotropy, and singular values of the weights.

Each function returns a matplotlib `Figure`.
"""

import itertools
import re
from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bert_jax.inspection.fonts import drawable
from bert_jax.inspection.layers import LayerPredictions, LayerProbes, layer_names
from bert_jax.inspection.spectra import Isotropy, effective_rank
from bert_jax.reporting.panel import COLORS

DPI = 120
SHADES = "Blues"
DARK = 0.72  # from where on white letters have a contrast of 4.5, as black ones have below
LAYER = re.compile(r"(.*/)layer_(\d+)(/.*)")


def draw_layer_predictions(predictions: LayerPredictions) -> Figure:
    """Draws the likeliest words of each layer, from the last layer down, in the shade of their probability."""
    count, top = predictions.probabilities.shape
    figure = Figure(figsize=(1.25 * top + 2, 0.34 * count + 0.7), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    shares = predictions.probabilities[::-1]
    axis.imshow(shares, cmap=SHADES, norm=Normalize(0, 1), aspect="auto")
    texts, families = drawable(list(itertools.chain(*predictions.words[::-1])))
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > DARK else "black"
        text = f"{texts[row * top + column]}  {f'{share:.2f}' if share >= 0.005 else '<0.01'}"
        axis.text(column, row, text, ha="center", va="center", fontsize=8.5, color=color, family=families)
    axis.set_yticks(range(count), layer_names(count)[::-1], fontsize=9)
    axis.set_xticks(range(top), [f"{i + 1}." for i in range(top)], fontsize=9)
    axis.set_xticks(np.arange(top - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(count - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.5)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    axis.set_title("The likeliest words at the mask, and their probabilities", loc="left", fontsize=10.5)
    return figure


def draw_layer_probes(probes: LayerProbes) -> Figure:
    """Draws the scores of the probes by layer, beside those of the most frequent label.

    Around the accuracy p of n examples is a band of one standard error, sqrt(p (1 - p) / n).
    """
    figure = Figure(figsize=(6, 3.3), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    lines = (
        (probes.accuracy, probes.majority_accuracy, "accuracy", COLORS[0], "o"),
        (probes.macro_f1, probes.majority_macro_f1, "macro-F1", COLORS[1], "s"),
    )
    for values, majority, name, color, marker in lines:
        axis.plot(values, color=color, marker=marker, markersize=4, linewidth=1.6, label=name)
        axis.axhline(majority, color=color, linestyle="--", linewidth=1, label=f"{name} of the majority")
    error = np.sqrt(probes.accuracy * (1 - probes.accuracy) / max(probes.num_scored, 1))
    band = (probes.accuracy - error, probes.accuracy + error)
    axis.fill_between(range(len(error)), *band, color=COLORS[0], alpha=0.2, linewidth=0, label="± one standard error")
    _by_layer(axis, len(probes.accuracy))
    counts = f"{probes.num_fitted:,} examples to fit, {probes.num_scored:,} to score"
    axis.set_title(f"Linear probes: {counts}", loc="left", fontsize=10.5)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def draw_isotropy(found: Isotropy) -> Figure:
    """Draws the mean cosine and the effective rank of tokens by layer."""
    figure = Figure(figsize=(8.5, 3.1), dpi=DPI, layout="constrained")
    panels = (
        (found.cosine, "Mean cosine of tokens of different texts"),
        (found.effective_rank, f"Effective rank of {found.num_tokens:,} tokens"),
    )
    for axis, (values, title) in zip(figure.subplots(1, 2), panels, strict=True):
        axis.plot(values, color=COLORS[0], marker="o", markersize=4, linewidth=1.6)
        axis.set_ylim(min(0, 1.1 * float(values.min())), 1.1 * float(values.max()))
        axis.set_title(title, loc="left", fontsize=10.5)
        _by_layer(axis, len(values))
    return figure


def draw_singular_values(values: Mapping[str, np.ndarray]) -> Figure:
    """Draws the singular values of each kind of matrix, a line for each layer, as shares of the largest one.

    Args:
      values: from `spectra.singular_values`. Matrices that are in no layer are left out.
    """
    kinds: dict[str, dict[int, np.ndarray]] = {}
    for path, own in values.items():
        if found := LAYER.fullmatch(path):
            kinds.setdefault(found[3].strip("/").removesuffix("/kernel"), {})[int(found[2])] = own
    columns = 3
    rows = -(-len(kinds) // columns)
    figure = Figure(figsize=(10, 2.6 * rows + 0.3), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=False, sharey=True).ravel()
    last = max(max(layers) for layers in kinds.values())
    norm = Normalize(0, max(last, 1) / 0.85)  # without the yellow end, which is hard to see on white
    for axis, (kind, layers) in zip(axes, sorted(kinds.items()), strict=False):
        for layer, own in sorted(layers.items()):
            axis.plot(np.arange(1, len(own) + 1), own / own[0], color=colormaps["viridis"](norm(layer)), linewidth=1.2)
        ranks = [effective_rank(own) for own in layers.values()]
        axis.set_title(kind.replace("_", " ").replace("/", ", "), loc="left", fontsize=10)
        note = f"effective rank\n{min(ranks):.0f} to {max(ranks):.0f} of {len(own)}"
        axis.text(0.97, 0.95, note, ha="right", va="top", fontsize=8, transform=axis.transAxes)
        axis.set_ylim(0, 1.03)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(kinds) :]:
        axis.set_visible(False)
    figure.supylabel("singular value, share of the largest", fontsize=9)
    figure.supxlabel("rank of the singular value", fontsize=9)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes.tolist(), fraction=0.02, pad=0.01, aspect=30)
    bar.ax.set_ylim(0, max(last, 1))
    bar.set_ticks(sorted({0, last // 2, last}))
    bar.set_label("layer", fontsize=9)
    return figure


def _by_layer(axis: Axes, count: int) -> None:
    every = -(-count // 13)
    axis.set_xticks(range(0, count, every), ["emb.", *map(str, range(count - 1))][::every])
    axis.set_xlabel("embeddings, then layers")
    axis.tick_params(labelsize=9)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
