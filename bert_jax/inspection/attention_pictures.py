"""Pictures of attention: all heads, one head, links between tokens, rollout, and what each head does.

Each function returns a matplotlib `Figure`, which a notebook shows and `savefig` writes. Layers and heads count from 0,
as in the names of the parameters.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from bert_jax.errors import ConfigError
from bert_jax.inspection.attention import HeadSummaries, TextAttention, rollout
from bert_jax.inspection.fonts import drawable
from bert_jax.reporting.panel import COLORS, GREY

DPI = 120
# From white to a dark blue, ever darker, so that it prints in grey too. Its square root shows weak attention as well.
SHADES, NORM = "Blues", PowerNorm(0.5, 0, 1)
TICKS = (0, 0.01, 0.1, 0.25, 0.5, 1)  # of the colour bar
LABEL = 0.16  # inches that the name of a token takes
MOST_LINKED = 120  # tokens; the links of more cannot be told apart


def draw_attention_grid(attention: TextAttention) -> Figure:
    """Draws the maps of all heads, a row for each layer. Queries go down, keys to the right, both from the first on."""
    layers, heads = attention.weights.shape[:2]
    size = 0.85 if heads > 8 else 1.2  # inches of a map
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(heads * size + 1.3, layers * size + 0.6), dpi=DPI, layout=layout)
    axes = figure.subplots(layers, heads, squeeze=False)
    for layer, row in enumerate(axes):
        for head, axis in enumerate(row):
            axis.imshow(attention.weights[layer, head], cmap=SHADES, norm=NORM, interpolation="antialiased")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(color=GREY, linewidth=0.5)
            if layer == 0:
                axis.set_title(f"head {head}", fontsize=9)
        row[0].set_ylabel(f"layer {layer}", fontsize=9)
    _color_bar(figure, axes.ravel().tolist(), "attention of a query (row) to a key (column)")
    return figure


def draw_head(attention: TextAttention, layer: int, head: int) -> Figure:
    """Draws the map of one head, with the tokens at its sides.

    Raises:
      ConfigError: there is no such layer or head.
    """
    weights = _chosen(attention, layer, head)
    side = float(np.clip(len(attention.tokens) * 0.24, 3, 11))
    figure = Figure(figsize=(side + 2, side + 1.2), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    axis.imshow(weights, cmap=SHADES, norm=NORM, interpolation="antialiased")
    _name_tokens(axis, "x", attention.tokens, side)
    _name_tokens(axis, "y", attention.tokens, side)
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.set(xlabel="key: attended to", ylabel="query: attends")
    axis.spines[:].set(color=GREY, linewidth=0.5)
    axis.set_title(f"Layer {layer}, head {head}", loc="left", fontsize=11)
    _color_bar(figure, [axis], "attention")
    return figure


def draw_links(attention: TextAttention, layer: int, head: int | None = None, token: int | None = None) -> Figure:
    """Draws the tokens twice, with a line from each query (left) to each key (right), the thicker the more it attends.

    Links that are weaker than if the query looked at all tokens alike are left out. The strongest one has the full
    width and shade.

    Args:
      attention: of a text.
      layer: whose heads.
      head: which of them; None: the mean of all.
      token: the only query to draw lines from; None: all.

    Raises:
      ConfigError: there is no such layer, head or token, or there are too many tokens to link them all.
    """
    weights = _chosen(attention, layer, head)
    size = len(attention.tokens)
    if token is None and size > MOST_LINKED:
        raise ConfigError(
            f"The links of {size} tokens cannot be told apart: draw those of one (token=), or all by draw_head."
        )
    if token is not None and not 0 <= token < size:
        raise ConfigError(f"token={token} must lie between 0 and {size - 1}, the last of the text.")
    texts, families = drawable(attention.tokens)
    height = float(np.clip(0.21 * size, 2, 24))
    figure = Figure(figsize=(4.6, height + 0.7), dpi=DPI)
    axis = figure.add_axes((0, 0.3 / (height + 0.7), 1, height / (height + 0.7)))
    axis.set(xlim=(0, 1), ylim=(size - 0.5, -0.5))
    axis.axis("off")
    font = {"fontsize": min(9.5, 55 * height / size), "family": families, "va": "center"}
    for place, text in enumerate(texts):
        color = "black" if token in (None, place) else "#999999"
        axis.text(0.33, place, text, ha="right", color=color, **font)
        axis.text(0.67, place, text, ha="left", **font)
    is_shown = weights > 1 / size
    if token is not None:
        is_shown &= np.arange(size)[:, None] == token
    strength = weights[is_shown]
    lines = [((0.345, query), (0.655, key)) for query, key in np.argwhere(is_shown)]
    parts = strength / strength.max(initial=1 / size)
    shades = colormaps[SHADES](0.35 + 0.65 * np.sqrt(parts))
    order = np.argsort(strength)  # the strongest on top
    axis.add_collection(
        LineCollection([lines[i] for i in order], linewidths=0.6 + 3.4 * parts[order], colors=shades[order])
    )
    title = f"Layer {layer}, " + ("mean of all heads" if head is None else f"head {head}")
    figure.text(0.02, 1 - 0.08 / (height + 0.7), title, va="top", fontsize=11)
    strongest = f" Strongest: {strength.max():.2f}." if len(strength) else ""
    note = f"Queries left, keys right. Left out: below 1/{size}, an even look.{strongest}"
    figure.text(0.02, 0.08 / (height + 0.7), note, fontsize=7, color=GREY)
    return figure


def draw_rollout(attention: TextAttention, token: int = 0) -> Figure:
    """Draws from which tokens of the input a token's vector comes, after each layer. The largest share is darkest.

    Args:
      attention: of a text.
      token: whose vector; the first one is `[CLS]`.

    Raises:
      ConfigError: there is no such token.
    """
    size = len(attention.tokens)
    if not 0 <= token < size:
        raise ConfigError(f"token={token} must lie between 0 and {size - 1}, the last of the text.")
    shares = rollout(attention)[:, token]
    width = float(np.clip(size * 0.26, 4, 13))
    figure = Figure(figsize=(width + 1.6, 0.27 * len(shares) + 1.7), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    norm = PowerNorm(0.5, 0, float(shares.max()))
    axis.imshow(shares, cmap=SHADES, norm=norm, aspect="auto", interpolation="antialiased")
    _name_tokens(axis, "x", attention.tokens, width)
    axis.set_yticks(range(len(shares)), [f"layer {i}" for i in range(len(shares))], fontsize=9)
    axis.spines[:].set(color=GREY, linewidth=0.5)
    (name,), families = drawable([attention.tokens[token]])
    axis.set_title(f"Attention rollout to {name} (token {token})", loc="left", fontsize=11, family=families)
    _color_bar(figure, [axis], "share", norm)
    return figure


def draw_head_summaries(summaries: HeadSummaries) -> Figure:
    """Draws what the heads of each layer do: a dot for each head, and a line through their means."""
    panels = (
        (summaries.distance, "Distance, tokens"),
        (summaries.entropy, "Entropy, nats"),
        (summaries.to_separators, "Attention to separators"),
    )
    figure = Figure(figsize=(10.5, 3.0), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, (values, title) in zip(axes, panels, strict=True):
        layer = np.arange(len(values))
        one = axis.plot(layer, values, "o", color=COLORS[0], markersize=4)
        mean = axis.plot(layer, values.mean(1), color=COLORS[1], linewidth=1.6)
        axis.set_title(title, loc="left", fontsize=10.5)
        axis.set(xlabel="layer", ylim=(0, None))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if axis is axes[-1]:
            names = ["mean", "one head"]
            figure.legend([mean[0], one[0]], names, loc="outside right upper", frameon=False, fontsize=9)
    return figure


def _chosen(attention: TextAttention, layer: int, head: int | None) -> np.ndarray:
    """The map [S, S] of a head, or the mean of a layer's."""
    layers, heads = attention.weights.shape[:2]
    for name, value, count in (("layer", layer, layers), ("head", head, heads)):
        if value is not None and not 0 <= value < count:
            raise ConfigError(f"{name}={value} must lie between 0 and {count - 1}: the model has {count}.")
    return attention.weights[layer].mean(0) if head is None else attention.weights[layer, head]


def _name_tokens(axis: Axes, side: str, tokens: list[str], inches: float) -> None:
    """Names the tokens at a side that is so long, or every other one, and so on, where there is no room."""
    every = int(np.ceil(LABEL * len(tokens) / inches))
    texts, families = drawable(tokens[::every])
    ticks, rotation = (axis.xaxis, 90) if side == "x" else (axis.yaxis, 0)
    ticks.set_ticks(range(0, len(tokens), every), texts, fontsize=9, family=families, rotation=rotation)
    ticks.set_tick_params(length=2)


def _color_bar(figure: Figure, axes: list[Axes], label: str, norm: PowerNorm = NORM) -> None:
    bar = figure.colorbar(ScalarMappable(norm, SHADES), ax=axes, fraction=0.03, pad=0.015, aspect=25)
    top = float(norm.vmax or 1)
    ticks = [*(tick for tick in TICKS if tick < 0.75 * top), top]  # others would touch the largest one
    bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks], fontsize=8)
    bar.set_label(label, fontsize=9)
    bar.outline.set(linewidth=0.5)
