"""The sections of a page, each made of what other modules found. All are readable without the script but attention."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from bert_jax.corpus.summary import percent
from bert_jax.inspection.attention import TextAttention, rollout
from bert_jax.inspection.attribution import Attribution
from bert_jax.inspection.layers import LayerPredictions, layer_names
from bert_jax.inspection.page.charts import ChartLine, line_chart
from bert_jax.inspection.page.markup import bar, direction, embedded, escaped, isolated, table
from bert_jax.inspection.page.packed_maps import pack_maps
from bert_jax.inspection.page.predictions import Prediction
from bert_jax.inspection.page.script import ATTENTION
from bert_jax.inspection.page.style import AGAINST, FOR
from bert_jax.inspection.parameter_tables import bytes_text, number_text, shape_text, summary_text
from bert_jax.inspection.parameters import ArraySummary, ParameterTree
from bert_jax.reporting.panel import COLORS, GREY
from bert_jax.reporting.run_record import RunRecord
from bert_jax.reporting.run_scores import baseline_value, scores_of
from bert_jax.reporting.smoothing import reach, smoothed
from bert_jax.tokenization.tokenizer import MASK

SMALLEST_TO_SMOOTH = 20  # values of a curve
DARK = 0.93  # share of the blue from which white letters have a contrast of 4.5, as black ones have below
FAINT = 0.02  # share of the largest score below which a token counts as neither for nor against
MAJORITY_NOTE = '<p class="soft">The majority is to give always the label that is most frequent.</p>\n'
MOST_OPAQUE = 0.55  # of a colour behind black letters


def predictions_section(found: Sequence[Prediction]) -> str:
    """What the model says of the text, with a bar for each probability."""
    parts = []
    for one in found:
        rows = [(isolated(name), f"{100 * share:.1f} %", bar(share)) for name, share in one.rows]
        parts.append(f"<div><h3>{isolated(one.title)}</h3>\n{table((), rows, 'guesses') if rows else ''}</div>\n")
    return f'<div class="charts">\n{"".join(parts)}</div>\n' if parts else ""


def layers_section(found: Sequence[LayerPredictions]) -> str:
    """The words that each layer would put in place of each mask."""
    parts = []
    for number, mask in enumerate(found):
        rows = [
            [
                escaped(name),
                *(_word(*guess) for guess in zip(words, shares.tolist(), strict=True)),
                f"{100 * last:.1f} %",
            ]
            for name, words, shares, last in zip(
                layer_names(len(mask.words)), mask.words, mask.probabilities, mask.final.tolist(), strict=True
            )
        ]
        title = f"<h3>{escaped(MASK)} {number}</h3>\n" if len(found) > 1 else ""
        head = ("", *(f"{place}." for place in range(1, len(mask.words[0]) + 1)), mask.words[-1][0])
        parts.append(f'{title}<div class="wide">{table(head, reversed(rows), "layers")}</div>\n')
    note = (
        '<p class="soft">The head for masked words on the vectors of each layer, the last one on top; the last column'
        " is the probability of the word that the model ends with. Earlier layers were not trained to feed this head."
        "</p>\n"
    )
    return note + "".join(parts) if parts else ""


def _word(word: str, share: float) -> str:
    strength = math.sqrt(share)
    color = f"color-mix(in srgb, var(--blue) {100 * strength:.0f}%, white)"
    ink = "#fff" if strength > DARK else "#000"
    shown = f"{isolated(word)} <small>{100 * share:.1f} %</small>"
    return f'<span class="token" style="background:{color};color:{ink}">{shown}</span>'


def attributions_section(found: Sequence[Attribution], num_predictions: int) -> str:
    """The text once for each prediction, coloured by what its tokens add to it.

    Args:
      found: the attributions of the first predictions.
      num_predictions: how many there are.
    """
    largest = max((float(np.abs(one.scores).max()) for one in found), default=0.0) or 1.0
    parts = []
    for one in found:
        begins = [*one.begins_word.tolist(), True]
        tokens = "".join(
            (" " if own else "")
            + _attributed(token if own else token.removeprefix("##"), score, largest, own, following)
            for token, score, (own, following) in zip(
                one.tokens, one.scores.tolist(), itertools.pairwise(begins), strict=True
            )
        )
        parts.append(
            f"<h3>{isolated(one.target)}</h3>\n"
            f'<p class="text" dir="{direction(one.tokens)}">{tokens}</p>\n<p class="soft">{escaped(one.summary)}</p>\n'
        )
    if not parts:
        return ""
    some = (
        f" These are the first {len(found)} of {num_predictions} predictions." if len(found) < num_predictions else ""
    )
    note = (
        '<p class="soft"><span class="key for"></span> for the prediction, <span class="key against"></span> against it'
        " (dotted). Integrated gradients from a text of padding; what the tokens add sums to the change of the score."
        f" Point at a token to read its score.{some}</p>\n"
    )
    return note + "".join(parts)


def _attributed(token: str, score: float, largest: float, begins: bool, ends: bool) -> str:
    """A token, and whether it begins and ends a word: pieces of a word touch."""
    share, kind = min(abs(score) / largest, 1.0), "for" if score >= 0 else "against"
    marked = f"token {kind}" if share > FAINT else "token"
    marked += ("" if begins else " goes-on") + ("" if ends else " unfinished")
    color = ",".join(map(str, FOR if score >= 0 else AGAINST))
    style = f"background:rgba({color},{MOST_OPAQUE * share:.3f})"
    return f'<bdi class="{marked}" style="{style}" title="{score:+.3f}">{escaped(token)}</bdi>'


def attention_section(attention: TextAttention) -> str:
    """All heads, their mean and the rollout, drawn by the script."""
    weights = attention.weights
    means = weights.mean(axis=1, keepdims=True)
    packed = pack_maps(np.concatenate([weights, means, rollout(attention)[:, None]], axis=1))
    ends = {attention.tokens[0], attention.tokens[-1]}
    values = {
        "shape": packed.shape,
        "kept": packed.kept,
        "weights": packed.weights,
        "keys": packed.keys,
        "tokens": attention.tokens,
        "mask": MASK,
        "special": [int(token in ends) for token in attention.tokens],
    }
    note = ""
    if packed.keys:
        note = (
            f" Of each token, the {packed.kept} largest weights of {len(attention.tokens)} are in this page; they have"
            f" {percent(packed.covered)} of its attention, as a mean over all heads."
        )
    return f"""
<p class="soft">Point at a token to see what it attends to; click to keep it. Colours grow with the square root of the
attention.{escaped(note)}</p>
<noscript><p>The attention maps are drawn by the script of this page, which is switched off.</p></noscript>
<div class="controls">
<label>Layer <select id="attention-layer"></select></label>
<label>Head <select id="attention-head"></select></label>
<label><input type="checkbox" id="attention-to"> show who attends to it</label>
<label><input type="checkbox" id="attention-skip"> leave out {isolated(" and ".join(sorted(ends)))}</label>
<span class="soft">0 <span class="ramp"></span> 1</span>
</div>
<h3 id="attention-title"></h3>
<div class="text" id="attention-tokens" dir="{direction(attention.tokens)}"></div>
<p id="attention-reading" aria-live="polite"></p>
<div class="beside">
<div><div class="wide"><canvas id="attention-matrix" role="img" aria-label="map of the chosen head"></canvas></div>
<p id="attention-cell"></p></div>
<div class="wide"><table id="attention-grid"><thead><tr><th></th></tr></thead><tbody></tbody></table></div>
</div>
<script type="application/json" id="attention-data">{embedded(values)}</script>
<script>{ATTENTION}</script>
"""


def curves_section(run: RunRecord) -> str:
    """The scores of a run, in training and held out, with their baselines."""
    charts, note = [], ""
    for score in scores_of(run):
        if "/" in score.name:
            continue
        steps, values = run.series(f"train/{score.name}")
        lines = []
        if len(values) >= SMALLEST_TO_SMOOTH:
            lines.append(ChartLine("", steps, values, COLORS[5], pale=True))
            values = smoothed(values, reach(len(values)))
        lines.append(ChartLine("training", steps, values, COLORS[5]))
        held_out = run.series(f"eval/{score.name}")
        lines.append(ChartLine("held out", *held_out, COLORS[0]))
        level = baseline_value(score, run)
        if level is not None and len(held_out[0]):
            ends = np.array([0.0, held_out[0].max()])
            lines.append(ChartLine(score.baseline_title or "baseline", ends, np.full(2, level), GREY, "6 4"))
            note = MAJORITY_NOTE if score.baseline_title == "majority" else note
        charts.append(line_chart(score.title[:1].upper() + score.title[1:], lines, "step"))
    return f'{note}<div class="charts">\n{"".join(charts)}</div>\n'


def tree_section(tree: ParameterTree) -> str:
    """All arrays, folded into the layers and heads that they belong to."""
    largest = max((sum(one.size for one in arrays) for arrays in tree.groups.values()), default=1)
    parts = [
        f'<p class="soft">{escaped(summary_text(tree))}. The norm is the root of the sum of squares, rms that of'
        " their mean.</p>\n"
    ]
    for name, arrays in tree.groups.items():
        size, norm = sum(one.size for one in arrays), math.hypot(*(one.norm for one in arrays))
        parts.append(
            f"<details><summary><span>{escaped(name)}</span><span>{size:,}</span>"
            f"<span>{escaped(percent(size / max(tree.size, 1)))}</span>{bar(size / largest)}</summary>\n"
            f'<p class="soft">norm {escaped(number_text(norm))},'
            f" {escaped(bytes_text(sum(one.num_bytes for one in arrays)))}</p>\n"
        )
        head = ("array", "shape", "dtype", "parameters", "norm", "rms", "largest")
        parts.append(
            f'<div class="wide">{table(head, [_array_row(one, name) for one in arrays], "tree")}</div></details>\n'
        )
    return "".join(parts)


def _array_row(one: ArraySummary, group: str) -> list[str]:
    numbers = (number_text(one.norm), number_text(one.rms), number_text(one.largest))
    cells = (one.name.removeprefix(f"{group}/"), shape_text(one.shape), str(one.dtype), f"{one.size:,}", *numbers)
    return [escaped(cell) for cell in cells]
