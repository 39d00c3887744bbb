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

from bert_jax.inspection.fonts import drawable, drawn_widths
from bert_jax.inspection.layers import LayerPredictions, LayerProbes, layer_names
from bert_jax.inspection.spectra import Isotropy, effective_rank
from bert_jax.reporting.figure_style import COLUMN, DPI, NORMAL, PAGE, SMALL, TITLE, dress
from bert_jax.reporting.panel import COLORS

SHADES = "Blues"
DARK = 0.72  # from where on white letters have a contrast of 4.5, as black ones have below
LAYER = re.compile(r"(.*/)layer_(\d+)(/.*)")


def draw_layer_predictions(predictions: LayerPredictions) -> Figure:
    """Draws the likeliest words of each layer, from the last layer down, in the shade of their probability."""
    count, top = predictions.probabilities.shape
    shares = predictions.probabilities[::-1]
    words, families = drawable(list(itertools.chain(*predictions.words[::-1])))
    texts = [
        f"{word}  {f'{share:.2f}' if share >= 0.005 else '<0.01'}"
        for word, share in zip(words, shares.ravel(), strict=True)
    ]
    font = {"fontsize": NORMAL, "family": families, "ha": "center", "va": "center"}
    width = max(drawn_widths(texts, font)) + 0.12  # inches of a word
    figure = Figure(figsize=(max(width * top + 0.8, COLUMN), 0.2 * count + 0.4), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    axis.imshow(shares, cmap=SHADES, norm=Normalize(0, 1), aspect="auto")
    for ((row, column), share), text in zip(np.ndenumerate(shares), texts, strict=True):
        axis.text(column, row, text, color="white" if share > DARK else "black", **font)
    axis.set_yticks(range(count), layer_names(count)[::-1], fontsize=SMALL)
    axis.set_xticks(range(top), [f"{i + 1}." for i in range(top)], fontsize=SMALL)
    axis.set_xticks(np.arange(top - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(count - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1.5)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    axis.set_title("Words at the mask, and their probabilities", loc="left", fontsize=TITLE)
    return figure


def draw_layer_probes(probes: LayerProbes) -> Figure:
    """Draws the scores of the probes by layer, beside those of always giving the majority label.

    Around the accuracy p of n examples is a band of one standard error, sqrt(p (1 - p) / n).
    """
    figure = Figure(figsize=(COLUMN, 2.8), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    lines = (
        (probes.accuracy, probes.majority_accuracy, "accuracy", COLORS[0], "o"),
        (probes.macro_f1, probes.majority_macro_f1, "macro-F1", COLORS[1], "s"),
    )
    for values, majority, name, color, marker in lines:
        axis.plot(values, color=color, marker=marker, markersize=3, linewidth=1.3, label=name)
        axis.axhline(majority, color=color, linestyle="--", linewidth=1, label=f"{name}, majority")
    error = np.sqrt(probes.accuracy * (1 - probes.accuracy) / max(probes.num_scored, 1))
    band = (probes.accuracy - error, probes.accuracy + error)
    axis.fill_between(range(len(error)), *band, color=COLORS[0], alpha=0.2, linewidth=0, label="± one standard error")
    _by_layer(axis, "Linear probes", len(probes.accuracy))
    axis.set_ylabel("score", fontsize=NORMAL)
    note = (
        f"Fitted to {probes.num_fitted:,} examples, scored on {probes.num_scored:,} others.\n"
        "Majority: always the most frequent label of the fitted ones."
    )
    font = {"fontsize": SMALL, "title_fontsize": SMALL, "labelspacing": 0.3, "columnspacing": 1.2}
    figure.legend(loc="outside lower left", ncols=2, frameon=False, title=note, alignment="left", **font)
    return figure


def draw_isotropy(found: Isotropy) -> Figure:
    """Draws the mean cosine and the effective rank of tokens by layer."""
    figure = Figure(figsize=(PAGE, 2.1), dpi=DPI, layout="constrained")
    panels = (
        (found.cosine, "Mean cosine of tokens of different texts"),
        (found.effective_rank, f"Effective rank of {found.num_tokens:,} tokens"),
    )
    for axis, (values, title) in zip(figure.subplots(1, 2), panels, strict=True):
        axis.plot(values, color=COLORS[0], marker="o", markersize=3, linewidth=1.3)
        axis.set_ylim(min(0, 1.1 * float(values.min())), 1.1 * float(values.max()))
        _by_layer(axis, title, len(values))
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
    figure = Figure(figsize=(PAGE, 1.7 * rows + 0.2), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=False, sharey=True).ravel()
    last = max(max(layers) for layers in kinds.values())
    norm = Normalize(0, max(last, 1) / 0.85)  # without the yellow end, which is hard to see on white
    for axis, (kind, layers) in zip(axes, sorted(kinds.items()), strict=False):
        for layer, own in sorted(layers.items()):
            axis.plot(np.arange(1, len(own) + 1), own / own[0], color=colormaps["viridis"](norm(layer)), linewidth=1)
        ranks = [effective_rank(own) for own in layers.values()]
        dress(axis, kind.replace("_", " ").replace("/", ", "))
        note = f"effective rank\n{min(ranks):.0f} to {max(ranks):.0f} of {len(own)}"
        axis.text(0.97, 0.95, note, ha="right", va="top", fontsize=SMALL, transform=axis.transAxes)
        axis.set_ylim(0, 1.03)
    for axis in axes[len(kinds) :]:
        axis.set_visible(False)
    figure.supylabel("singular value, share of the largest", fontsize=NORMAL)
    figure.supxlabel("rank of the singular value", fontsize=NORMAL)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes.tolist(), fraction=0.02, pad=0.01, aspect=30)
    bar.ax.set_ylim(0, max(last, 1))
    bar.set_ticks(sorted({0, last // 2, last}))
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label("layer", fontsize=NORMAL)
    return figure


def _by_layer(axis: Axes, title: str, count: int) -> None:
    dress(axis, title, "embeddings, then layers")
    every = -(-count // 13)
    axis.set_xticks(range(0, count, every), ["emb.", *map(str, range(count - 1))][::every])
