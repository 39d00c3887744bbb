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
from bert_jax.reporting.figure_style import COLUMN, DPI, NORMAL, PAGE, SMALL, TITLE, dress
from bert_jax.reporting.panel import COLORS, GREY

# From white to a dark blue, ever darker, so that it prints in grey too. Its square root shows weak attention as well.
SHADES, NORM = "Blues", PowerNorm(0.5, 0, 1)
TICKS = (0, 0.01, 0.1, 0.25, 0.5, 1)  # of the colour bar
LINE = 0.115  # inches that the name of a token takes
LARGEST = 10.0  # inches of a side; of more tokens, some are not named
MOST_LINKED = 120  # tokens; the links of more cannot be told apart


def draw_attention_grid(attention: TextAttention) -> Figure:
    """Draws the maps of all heads, a row for each layer. Queries go down, keys to the right, both from the first on."""
    layers, heads = attention.weights.shape[:2]
    size = min(1.1, (PAGE - 0.9) / heads)  # inches of a map
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(heads * size + 0.9, layers * size + 0.4), dpi=DPI, layout=layout)
    axes = figure.subplots(layers, heads, squeeze=False)
    for layer, row in enumerate(axes):
        for head, axis in enumerate(row):
            axis.imshow(attention.weights[layer, head], cmap=SHADES, norm=NORM, interpolation="antialiased")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(color=GREY, linewidth=0.5)
            if layer == 0:
                axis.set_title(str(head), fontsize=SMALL, pad=3)
        row[0].set_ylabel(str(layer), fontsize=SMALL, rotation=0, ha="right", va="center")
    figure.suptitle("head", fontsize=NORMAL)
    figure.supylabel("layer", fontsize=NORMAL)
    _color_bar(figure, axes.ravel().tolist(), "attention of a query (row) to a key (column)")
    return figure


def draw_head(attention: TextAttention, layer: int, head: int) -> Figure:
    """Draws the map of one head, with the tokens at its sides.

    Raises:
      ConfigError: there is no such layer or head.
    """
    weights = _chosen(attention, layer, head)
    side = float(np.clip(len(attention.tokens) * LINE, 1.6, LARGEST))
    figure = Figure(figsize=(side + 1.15, side + 0.85), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    axis.imshow(weights, cmap=SHADES, norm=NORM, interpolation="antialiased")
    _name_tokens(axis, "x", attention.tokens, side)
    _name_tokens(axis, "y", attention.tokens, side)
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.set_xlabel("key: attended to", fontsize=NORMAL)
    axis.set_ylabel("query: attends", fontsize=NORMAL)
    axis.spines[:].set(color=GREY, linewidth=0.5)
    axis.set_title(f"Layer {layer}, head {head}", loc="left", fontsize=TITLE)
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
    above, below = 0.25, 0.32  # inches
    height = float(np.clip(1.2 * LINE * size, 1, 24))
    figure = Figure(figsize=(COLUMN, above + height + below), dpi=DPI)
    axis = figure.add_axes((0, below / (above + height + below), 1, height / (above + height + below)))
    axis.set(xlim=(0, 1), ylim=(size - 0.5, -0.5))
    axis.axis("off")
    font = {"fontsize": min(NORMAL, 55 * height / size), "family": families, "va": "center"}
    for place, text in enumerate(texts):
        color = "black" if token in (None, place) else "#999999"
        axis.text(0.33, place, text, ha="right", color=color, **font)
        axis.text(0.67, place, text, ha="left", **font)
    even = 1 / size
    is_shown = weights > even
    if token is not None:
        is_shown &= np.arange(size)[:, None] == token
    strength = weights[is_shown]
    lines = [((0.345, query), (0.655, key)) for query, key in np.argwhere(is_shown)]
    # What is beyond an even look counts: otherwise, many weak links hide the strong ones.
    parts = (strength - even) / (strength.max(initial=even) - even) if len(strength) else strength
    order = np.argsort(strength)  # the strongest on top
    axis.add_collection(
        LineCollection(
            [lines[i] for i in order],
            linewidths=0.3 + 2.7 * parts[order],
            colors=colormaps[SHADES](0.2 + 0.8 * np.sqrt(parts[order])),
            capstyle="round",
        )
    )
    title = f"Layer {layer}, " + ("mean of all heads" if head is None else f"head {head}")
    figure.text(0.02, 1 - 0.06 / figure.get_figheight(), title, va="top", fontsize=TITLE)
    strongest = f" Strongest: {strength.max():.2f}." if len(strength) else ""
    note = f"Queries left, keys right.{strongest}\nLeft out: weaker than 1/{size}, an even look at all tokens."
    figure.text(0.02, 0.05 / figure.get_figheight(), note, fontsize=SMALL, color=GREY)
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
    width = float(np.clip(size * LINE, 2.2, LARGEST))
    figure = Figure(figsize=(width + 1.1, 0.16 * len(shares) + 1.05), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    norm = PowerNorm(0.5, 0, float(shares.max()))
    axis.imshow(shares, cmap=SHADES, norm=norm, aspect="auto", interpolation="antialiased")
    _name_tokens(axis, "x", attention.tokens, width)
    axis.set_yticks(range(len(shares)), [f"layer {i}" for i in range(len(shares))], fontsize=SMALL)
    axis.spines[:].set(color=GREY, linewidth=0.5)
    (name,), families = drawable([attention.tokens[token]])
    axis.set_title(f"Attention rollout to {name} (token {token})", loc="left", fontsize=TITLE, family=families)
    _color_bar(figure, [axis], "share", norm)
    return figure


def draw_head_summaries(summaries: HeadSummaries) -> Figure:
    """Draws what the heads of each layer do: a dot for each head, a line through their means, and an even look."""
    panels = (
        (summaries.distance, summaries.even_distance, "Distance, tokens"),
        (summaries.entropy, summaries.even_entropy, "Entropy, nats"),
        (summaries.to_separators, summaries.even_to_separators, "Attention to separators, share"),
    )
    figure = Figure(figsize=(PAGE, 2.2), dpi=DPI, layout="constrained")
    for axis, (values, even, title) in zip(figure.subplots(1, 3), panels, strict=True):
        layer = np.arange(len(values))
        one = axis.plot(layer, values, "o", color=COLORS[0], markersize=3, alpha=0.6, markeredgewidth=0)
        mean = axis.plot(layer, values.mean(1), color=COLORS[1], linewidth=1.3)
        level = axis.axhline(even, color=GREY, linestyle="--", linewidth=1)
        dress(axis, title, "layer")
        axis.set_ylim(0, None)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, names = (
        [one[0], mean[0], level],
        ["one head", "mean of the layer", "a head that looks evenly at all tokens"],
    )
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=SMALL)
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
    every = int(np.ceil(LINE * len(tokens) / inches - 1e-9))
    texts, families = drawable(tokens[::every])
    ticks, rotation = (axis.xaxis, 90) if side == "x" else (axis.yaxis, 0)
    ticks.set_ticks(range(0, len(tokens), every), texts, fontsize=SMALL, family=families, rotation=rotation)
    ticks.set_tick_params(length=2)


def _color_bar(figure: Figure, axes: list[Axes], label: str, norm: PowerNorm = NORM) -> None:
    bar = figure.colorbar(ScalarMappable(norm, SHADES), ax=axes, fraction=0.05, pad=0.015, aspect=25)
    top = float(norm.vmax or 1)
    ticks = [*(tick for tick in TICKS if tick < 0.75 * top), top]  # others would touch the largest one
    bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks], fontsize=SMALL)
    bar.set_label(label, fontsize=NORMAL)
    bar.outline.set(linewidth=0.5)
