"""The whole page, as a parser sees it."""

import html
import json
import re

import numpy as np
import pytest

from bert_jax.errors import BertJaxError
from bert_jax.inspection.attention import TextAttention, attention_maps
from bert_jax.inspection.attribution import Attribution, integrated_gradients
from bert_jax.inspection.layers import LayerPredictions, layer_predictions
from bert_jax.inspection.page.charts import ChartLine, line_chart
from bert_jax.inspection.page.document import STEPS, document, run_of, write_page
from bert_jax.inspection.page.predictions import predictions
from bert_jax.inspection.page.script import ATTENTION
from bert_jax.inspection.page.sections import attention_section, attributions_section, curves_section, layers_section
from bert_jax.inspection.page.style import FOR
from bert_jax.inspection.parameters import open_parameters
from bert_jax.inspection.targets import MaskedWord
from bert_jax.loading import load
from bert_jax.objectives.labels import Labels
from bert_jax.reporting.run_record import read_run
from tests.inspection.page.conftest import TEXT
from tests.inspection.page.test_markup import NASTY, Texts, shown, whole
from tests.inspection.small import model
from tests.reporting.fake_run import ROWS, eval_row, write_run


def data_of(page):
    (text,) = re.findall(r'<script type="application/json" id="attention-data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_it_has_all_sections_and_loads_nothing(page, folder):
    found = Texts(page)
    assert re.findall(r'<section id="(\w+)">', page) == re.findall(r'<a href="#(\w+)">', page)
    names = ["predictions", "layers", "attribution", "attention", "parameters"]
    assert re.findall(r'<section id="(\w+)">', page) == names
    assert f"<h1>{folder}</h1>" in page
    assert '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';' in page
    assert not re.search(r"(src|href)=[\"'](?!#)|url\(|@import|https?:", page)
    assert "bert/embeddings" in found.texts
    for guess in load(folder).fill_mask(TEXT)[0]:
        assert f"<bdi>{html.escape(guess.word)}</bdi></td><td>{100 * guess.probability:.1f} %" in page


def test_every_tag_is_closed(page):
    opened = []

    class Balance(Texts):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "input", "link", "br", "line", "polyline", "circle"):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Balance(page)
    assert not opened


def test_text_and_tokens_are_text_alone(page):
    assert f'<blockquote dir="ltr">{html.escape(TEXT)}</blockquote>' in page
    tokens = list(NASTY)
    weights = np.full((1, 1, len(tokens), len(tokens)), 1 / len(tokens), np.float32)
    made = document(NASTY[0], "", [("attention", NASTY[1], attention_section(TextAttention(tokens, weights)))])
    assert Texts(made).tags.count("script") == 2
    assert "img" not in Texts(made).tags
    assert shown(NASTY[0]) in Texts(made).texts
    assert data_of(made)["tokens"] == [whole(token) for token in tokens]


def test_the_maps_are_those_of_the_model_with_their_mean_and_the_rollout(page, folder):
    data, attention = data_of(page), attention_maps(load(folder), TEXT)
    assert data["tokens"] == attention.tokens
    assert data["shape"] == [2, 4, len(attention.tokens)]
    assert data["special"] == [int(token in ("[CLS]", "[SEP]")) for token in attention.tokens]


def test_the_words_of_each_layer_and_the_tokens_that_speak_for_them(page, folder):
    bert = load(folder)
    text = page[page.index('<section id="layers">') : page.index('<section id="attention">')]
    layers = layer_predictions(bert, TEXT)
    rows = re.findall(r"<tr><td>(layer 1|layer 0|embeddings)</td>(.*?)</tr>", text)
    assert [name for name, _ in rows] == ["layer 1", "layer 0", "embeddings"]  # the last one on top
    for (_, row), words, shares in zip(rows, layers.words[::-1], layers.probabilities[::-1], strict=True):
        assert [found[0] for found in re.findall(r"<bdi>(.*?)</bdi> <small>", row)] == [word[0] for word in words]
        assert re.findall(r"<small>([\d.]*) %", row) == [f"{100 * share:.1f}" for share in shares]
    attribution = integrated_gradients(bert, TEXT, MaskedWord(), STEPS)
    found = re.findall(r'<bdi class="token( for| against|)[^"]*" style="[^"]*" title="([^"]*)">', text)
    assert [title for _, title in found] == [f"{score:+.3f}" for score in attribution.scores]
    for (kind, _), score in zip(found, attribution.scores, strict=True):
        assert not kind or kind == (" for" if score >= 0 else " against")
    assert html.escape(attribution.summary) in text


def test_letters_have_contrast_on_every_shade():
    shares = np.linspace(0, 1, 401)[:, None]
    text = layers_section([LayerPredictions([["a"]] * 401, shares, shares[:, 0])])
    shades = re.findall(r"var\(--blue\) (\d+)%, white\);color:#(\w+)", text)
    assert len(shades) == 401
    blue, stops = (
        np.array(FOR),
        np.array([[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]]),
    )
    for part, ink in shades:
        assert contrast(255 + (blue - 255) * int(part) / 100, ink) >= 4.5
    (dark,) = re.findall(r'part > ([\d.]+) \? "#fff" : part > 0.03 \? "#000"', ATTENTION)
    for part in np.linspace(0, 1, 256):
        shade = [np.interp(part, np.linspace(0, 1, 5), channel) for channel in stops.T]
        assert contrast(np.array(shade), "fff" if part > float(dark) else "000") >= 4.5


def contrast(color, ink):
    """That of WCAG 2, of white or black letters on a colour."""
    parts = color / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    light = float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05
    return 1.05 / light if ink == "fff" else light / 0.05


def test_attributions_name_how_many_predictions_there_are_and_join_words():
    scores, begins = np.array([0, 1, -0.5, 0]), np.array([True, True, False, True])
    one = Attribution(["[CLS]", "un", "##happy", "[SEP]"], scores, 0.5, 0.0, "<a>", "a method", begins, "nats")
    text = attributions_section([one], 3)
    assert "the first 1 of 3 predictions" in text
    assert "<bdi>&lt;a&gt;</bdi>" in text
    pieces = r'class="token for unfinished" [^>]*>un</bdi><bdi class="token against goes-on" [^>]*>happy</bdi> <bdi'
    assert re.search(pieces, text)
    assert "predictions." not in attributions_section([one], 1)
    assert attributions_section([], 0) == ""


def test_a_pair_and_a_classifier(tmp_path, monkeypatch):
    monkeypatch.setattr("bert_jax.inspection.page.document.MOST_ATTRIBUTIONS", 0)  # others take long to compile
    model(Labels(names=("good", "<bad>"))).save_checkpoint(tmp_path / "labels")
    write_page(tmp_path / "labels", tmp_path / "page.html", ("the cat", "sat down"))
    page = (tmp_path / "page.html").read_text()
    assert page.count("<blockquote") == 2
    label = load(tmp_path / "labels").classify([("the cat", "sat down")])[0]
    assert f"<bdi>&lt;bad&gt;</bdi></td><td>{100 * label.probabilities['<bad>']:.1f} %" in page
    monkeypatch.setattr("bert_jax.loading.load", lambda *_: pytest.fail("computes before it looks at the file"))
    for file, why in ((tmp_path / "gone" / "page.html", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(BertJaxError, match=f"cannot be written .{why}"):
            write_page(tmp_path / "labels", file, "the cat")
    monkeypatch.undo()
    with pytest.raises(BertJaxError, match="takes at most 64"):
        write_page(tmp_path / "labels", tmp_path / "long.html", "cat " * 70)
    assert not (tmp_path / "long.html").exists()


def test_masks_of_a_pair_are_filled_and_pretraining_says_whether_it_is_one(folder):
    bert, pair = load(folder), ("the [MASK] sat", "down the [MASK] .")
    masks = [one for one in predictions(bert, pair) if one.title.startswith("[MASK]")]
    assert [one.title for one in masks] == ["[MASK] 0", "[MASK] 1"]
    for number, one in enumerate(masks):
        last = layer_predictions(bert, pair, number)
        assert [word for word, _ in one.rows[:5]] == last.words[-1]
        assert [share for _, share in one.rows[:5]] == pytest.approx(last.probabilities[-1].tolist())


def test_it_tells_what_is_attributed_and_has_the_dtypes_of_the_file(tmp_path, folder, monkeypatch):
    said, opened = [], []
    monkeypatch.setattr("bert_jax.inspection.page.document.STEPS", 1)
    monkeypatch.setattr(
        "bert_jax.inspection.page.document.open_parameters",
        lambda *given: opened.append(given) or open_parameters(*given),
    )
    write_page(folder, tmp_path / "page.html", "the [MASK] [MASK]", note=said.append)
    assert said == ["attribution 1 of 2", "attribution 2 of 2"]
    assert opened == [(folder, None)]
    assert list(tmp_path.iterdir()) == [tmp_path / "page.html"]


def test_the_curves_of_a_run_are_there_for_the_run_and_its_checkpoints(tmp_path):
    folder = write_run(tmp_path / "run", rows=(*ROWS, eval_row(40, mlm_loss=3.5)))
    for path in (folder, folder / "checkpoints", folder / "checkpoints" / "20"):
        assert run_of(path).path == folder
    assert run_of(tmp_path) is None
    found = Texts(curves_section(read_run(folder)))
    assert "Masked language model, loss in nats" in found.texts
    assert found.texts.count(" held out") == 3
    assert found.texts.count(" training") == 3
    assert " word frequencies" in found.texts
    assert found.tags.count("figure") == 3


def test_a_chart_has_its_points_inside_of_round_numbers():
    x = np.arange(2000.0)
    line = ChartLine("<loss>", x, 7 - 3 * x / 1999, "#000")
    chart = line_chart("a & b", [line], "step")
    assert "<figcaption>a &amp; b</figcaption>" in chart
    assert " &lt;loss&gt;</span>" in chart
    (points,) = re.findall(r'<polyline points="([^"]*)"', chart)
    places = np.array([point.split(",") for point in points.split()], float)
    assert len(places) <= 402
    assert (np.diff(places[:, 0]) > 0).all()
    assert (np.diff(places[:, 1]) > 0).all()  # SVG counts downwards
    assert re.findall(r'text-anchor="end">([^<]*)<', chart) == ["4", "5", "6", "7"]
    assert line_chart("none", [ChartLine("", x[:0], x[:0], "#000")], "step") == ""
    assert "<circle" in line_chart("one", [ChartLine("", x[:1], x[:1], "#000")], "step")
