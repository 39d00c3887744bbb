"""All pictures: that they can be drawn from any text, and that they show what they should."""

import dataclasses
import io
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from bert_jax.errors import ConfigError
from bert_jax.inspection import fonts
from bert_jax.inspection.attention import TextAttention, head_summaries, rollout
from bert_jax.inspection.attention_pictures import (
    draw_attention_grid,
    draw_head,
    draw_head_summaries,
    draw_links,
    draw_rollout,
)
from bert_jax.inspection.attribution import Attribution
from bert_jax.inspection.attribution_picture import draw_attributions
from bert_jax.inspection.layer_pictures import (
    draw_isotropy,
    draw_layer_predictions,
    draw_layer_probes,
    draw_singular_values,
)
from bert_jax.inspection.layers import LayerPredictions, LayerProbes
from bert_jax.inspection.spectra import Isotropy
from bert_jax.inspection.word_map_picture import draw_word_map
from bert_jax.inspection.words import WordMap
from bert_jax.reporting.figure_style import PAGE, SMALL

# Dollars would be formulas; Arabic, Hebrew and accents are in matplotlib's own font.
TOKENS = ["[CLS]", "costs", "$", "$x_1$", "and", "$", "كتاب", "שלום", "naïve", "<b>", "[SEP]"]
RNG = np.random.default_rng(0)


def attention_of(tokens):
    weights = RNG.dirichlet(np.ones(len(tokens)), (2, 3, len(tokens)))
    return TextAttention(tokens, weights.astype(np.float32))


def attribution_of(tokens, scores=None):
    found = RNG.normal(size=len(tokens)) if scores is None else np.array(scores)
    begins = np.array([not token.startswith("##") for token in tokens])
    return Attribution(
        tokens, found.astype(np.float32), float(found.sum()), 0.0, "$5 = $6", "occlusion", begins, "nats"
    )


def shares(*shape):
    return RNG.uniform(size=shape).astype(np.float32)


PICTURES = {
    "grid": lambda: draw_attention_grid(attention_of(TOKENS)),
    "head": lambda: draw_head(attention_of(TOKENS), 1, 2),
    "head of a long text": lambda: draw_head(attention_of(TOKENS * 20), 0, 0),
    "links": lambda: draw_links(attention_of(TOKENS), 0),
    "links of one token": lambda: draw_links(attention_of(TOKENS), 1, 2, token=3),
    "rollout": lambda: draw_rollout(attention_of(TOKENS), 6),
    "summaries": lambda: draw_head_summaries(head_summaries(attention_of(TOKENS))),
    "attributions": lambda: draw_attributions(attribution_of(TOKENS * 5), attribution_of(TOKENS)),
    "nothing attributed": lambda: draw_attributions(attribution_of(["[CLS]", "[SEP]"], [0, 0])),
    "predictions": lambda: draw_layer_predictions(LayerPredictions([TOKENS[:4]] * 3, shares(3, 4), shares(3))),
    "probes": lambda: draw_layer_probes(LayerProbes(shares(3), shares(3), 0.5, 0.3, 80, 20)),
    "isotropy": lambda: draw_isotropy(Isotropy(shares(13), shares(13), 100)),
    "spectra": lambda: draw_singular_values({f"bert/encoder/layer_{i}/x/kernel": shares(9) for i in range(3)}),
    "words": lambda: draw_word_map(WordMap(TOKENS, RNG.normal(size=(11, 2)), np.array([0.6, 0.2]))),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_can_be_drawn(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as a missing letter, or a formula
        figure, file = PICTURES[name](), io.BytesIO()
        figure.savefig(file, format="png")
    width, height = figure.get_size_inches()
    assert file.getvalue().startswith(b"\x89PNG")
    assert width <= (12 if "long" in name else PAGE)
    assert height <= 12
    texts = figure.findobj(lambda one: isinstance(one, Text) and one.get_text())
    assert min(text.get_fontsize() for text in texts) >= SMALL
    drawn = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())  # nothing is cut
    assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) > -0.01


def test_what_is_not_there_is_refused():
    attention = attention_of(TOKENS)
    with pytest.raises(ConfigError, match="layer=2 must lie between 0 and 1"):
        draw_head(attention, 2, 0)
    with pytest.raises(ConfigError, match="head=3 must lie between 0 and 2"):
        draw_links(attention, 0, 3)
    for draw in (lambda: draw_links(attention, 0, token=11), lambda: draw_rollout(attention, -1)):
        with pytest.raises(ConfigError, match="must lie between 0 and 10"):
            draw()


def test_weak_links_are_left_out():
    weights = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [1, 0, 0]], np.float32)
    attention = TextAttention(["a", "b", "c"], weights[None, None])
    (lines,) = draw_links(attention, 0, 0).axes[0].collections
    assert len(lines.get_segments()) == 3
    (lines,) = draw_links(attention, 0, 0, token=1).axes[0].collections
    np.testing.assert_allclose(lines.get_segments(), [[[0.345, 1], [0.655, 2]]])


def test_the_strongest_link_and_the_largest_share_have_the_full_shade():
    even = np.full((5, 5), 0.19, np.float32) + 0.05 * np.eye(5, dtype=np.float32)
    attention = TextAttention(list("abcde"), even[None, None])
    (lines,) = draw_links(attention, 0, 0).axes[0].collections
    assert lines.get_linewidths() == pytest.approx([3.0] * 5)
    bar = draw_rollout(attention, 1).axes[1]
    assert bar.get_ylim()[1] == pytest.approx(rollout(attention)[:, 1].max())
    many = attention_of([str(i) for i in range(121)])
    with pytest.raises(ConfigError, match="The links of 121 tokens cannot be told apart: draw those of one"):
        draw_links(many, 0)
    assert draw_links(many, 0, token=7).axes


def test_letters_have_contrast_on_every_shade():
    values = np.linspace(0, 1, 101, dtype=np.float32)[:, None]
    axis = draw_layer_predictions(LayerPredictions([["a"]] * 101, values, values[:, 0])).axes[0]
    image = axis.images[0]
    for text, share in zip(axis.texts, values[::-1, 0], strict=True):
        lights = sorted(luminance(color) for color in (to_rgb(text.get_color()), image.cmap(image.norm(share))[:3]))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5, share


def luminance(color):
    """That of WCAG 2, between 0 and 1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_heads_stand_beside_an_even_look():
    summaries = head_summaries(attention_of(TOKENS))
    levels = [summaries.even_distance, summaries.even_entropy, summaries.even_to_separators]
    for axis, level in zip(draw_head_summaries(summaries).axes, levels, strict=True):
        (line,) = (one for one in axis.lines if one.get_linestyle() == "--")
        assert set(line.get_ydata()) == {level}


def test_a_picture_of_probes_says_what_the_majority_is():
    probes = LayerProbes(np.array([0.5, 0.8]), np.array([0.5, 0.8]), 0.4, 0.3, 80, 100)
    figure = draw_layer_probes(probes)
    assert "always the most frequent label of the fitted ones" in figure.legends[0].get_title().get_text()
    levels = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert levels == [0.4, 0.3]


def test_the_scale_of_attributions_has_their_unit_if_they_share_one():
    one = attribution_of(TOKENS)
    for unit, end in (("nats", "for the prediction, nats"), ("", "for the prediction")):
        bar = draw_attributions(one, dataclasses.replace(one, unit=unit)).axes[1]
        assert bar.texts[-1].get_text() == end


def test_accuracies_have_a_band_of_one_standard_error():
    probes = LayerProbes(np.array([0.5, 0.8]), np.array([0.5, 0.8]), 0.5, 0.3, 80, 100)
    (band,) = draw_layer_probes(probes).axes[0].collections
    low, high = (sorted(set(np.round(band.get_paths()[0].vertices[:, 1], 6)))[i] for i in (0, -1))
    assert (low, high) == (pytest.approx(0.45), pytest.approx(0.84))


def test_pieces_of_a_word_are_joined_and_the_summary_has_its_own_line():
    figure = draw_attributions(attribution_of(["[CLS]", "gri", "##pping", "film", "[SEP]"], [0, 2, 1, 1, 0]))
    axis, renderer = figure.axes[0], FigureCanvasAgg(figure).get_renderer()
    title, summary, _, first, second, other, _ = (text.get_window_extent(renderer) for text in axis.texts)
    between = (second.x0 - first.x1, other.x0 - second.x1)
    assert 0 < between[0] / figure.dpi < 0.02
    assert between[1] / figure.dpi > 0.1
    assert title.y0 > summary.y1
    boxes = [patch.get_x() + patch.get_width() * end for patch in axis.patches[1:3] for end in (0, 1)]
    assert boxes[1] == pytest.approx(boxes[2])


@pytest.mark.parametrize("target", ["an answer of " * 9, "答" * 99, "short"], ids=["words", "wide letters", "short"])
def test_titles_are_cut_at_the_margin(target):
    one = dataclasses.replace(attribution_of(TOKENS), target=target)
    figure = draw_attributions(one)
    title = figure.axes[0].texts[0]
    assert title.get_window_extent(FigureCanvasAgg(figure).get_renderer()).x1 <= figure.bbox.width
    assert (title.get_text() == target) == (target == "short")


def shown(attribution):
    """The tokens of a picture from left to right, and the colours behind them."""
    axis = draw_attributions(attribution).axes[0]
    names = {text.get_text(): text.get_position()[0] for text in axis.texts[2:]}
    return sorted(names, key=lambda name: names[name]), [patch.get_facecolor()[:3] for patch in axis.patches]


def test_tokens_have_the_colour_of_their_score():
    _, (none, speaks_for, against, _) = shown(attribution_of(["[CLS]", "good", "bad", "[SEP]"], [0, 2, -1, 0]))
    assert none == pytest.approx((1, 1, 1), abs=0.01)
    assert speaks_for[2] > speaks_for[0] + 0.2  # blue
    assert against[0] > against[2] + 0.2  # orange
    assert min(*speaks_for, *against) > 0.3  # black letters are legible on them


def test_right_to_left_text_runs_from_the_right():
    order, _ = shown(attribution_of(["[CLS]", "הוא", "גר", "ב", "New", "York", ".", "##er", "טוב", "שם", "[SEP]"]))
    assert order == ["[SEP]", "שם", "טוב", "New", "York", ".", "er", "ב", "גר", "הוא", "[CLS]"]
    order, _ = shown(attribution_of(["[CLS]", "he", "said", "שלום", "עולם", ".", "[SEP]"]))
    assert order == ["[CLS]", "he", "said", "עולם", "שלום", ".", "[SEP]"]


def test_a_letter_without_a_font_becomes_a_box_and_a_warning_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setattr(fonts, "_files", lambda: [])
    fonts._warn.cache_clear()
    texts, families = fonts.drawable(["漢字", "हद", "the"])
    assert texts == ["▯▯", "▯▯", "the"]
    assert families == ["DejaVu Sans"]
    (record,) = caplog.records
    said = record.getMessage()
    assert "No font on this machine has" in said
    assert "fonts-noto-cjk" in said
    assert "Noto Sans Devanagari" in said
    fonts.drawable(["漢字", "हद", "the"])
    assert len(caplog.records) == 1


def test_fonts_of_the_machine_are_found(monkeypatch):
    """Here one that has only what the usual one lacks: a font for mathematics that comes with matplotlib."""
    folder = fonts.font_manager.findfont("DejaVu Sans").rpartition("/")[0]
    monkeypatch.setattr(fonts, "_files", lambda: [f"{folder}/DejaVuSansMono.ttf", f"{folder}/STIXGeneral.ttf"])
    found = fonts._letters(f"{folder}/STIXGeneral.ttf") - fonts._letters(f"{folder}/DejaVuSans.ttf")
    only_there = next(letter for letter in map(chr, sorted(found)) if letter.isalpha())
    texts, families = fonts.drawable([only_there])
    assert (texts, families) == ([only_there], ["DejaVu Sans", "STIXGeneral"])
