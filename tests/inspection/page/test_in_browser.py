"""The page in a browser: it draws what it should, when it is pointed at, and nothing in its data is run."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from bert_jax.inspection.attention import TextAttention
from bert_jax.inspection.page import sections
from bert_jax.inspection.page.document import document
from bert_jax.inspection.page.sections import attention_section
from tests.inspection.page.test_markup import NASTY, whole
from tests.inspection.page.test_packed_maps import maps

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(not BROWSER, reason="looks at the page: apt-get install chromium-headless-shell")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom")
# Added to the end of a page: does what a reader does, and leaves what there is to see in the title.
READER = """
<script>
const at = name => document.getElementById("attention-" + name);
const seen = {errors: window.errors, spans: at("tokens").children.length, text: at("tokens").textContent};
const point = (target, kind, place) => target.dispatchEvent(new MouseEvent(kind, {bubbles: true, ...place}));
const spans = at("tokens").children;
const change = (name, value) => {
  at(name)[typeof value === "boolean" ? "checked" : "value"] = value;
  at(name).dispatchEvent(new Event("change"));
};
seen.start = at("title").textContent;
change("layer", 1);
change("head", 1);
seen.title = at("title").textContent;
point(spans[4], "mouseenter");
seen.reading = at("reading").textContent;
seen.colors = [...spans].map(one => one.style.backgroundColor);
point(spans[4], "click");
point(spans[1], "mouseenter");
seen.pinned = at("reading").textContent === seen.reading;
change("to", true);
seen.turned = at("reading").textContent;
const {margin, cell} = at("matrix").place, box = at("matrix").getBoundingClientRect();
point(at("matrix"), "mousemove", {clientX: box.left + margin + 2.5 * cell, clientY: box.top + margin + 3.5 * cell});
seen.cell = at("cell").textContent;
const drawn = at("matrix").getContext("2d"), sharp = window.devicePixelRatio;
seen.pixel = [...drawn.getImageData((margin + 6.5 * cell) * sharp, (margin + 5.5 * cell) * sharp, 1, 1).data];
change("skip", true);
point(at("grid").querySelectorAll("button")[0], "click");
seen.pressed = at("grid").querySelectorAll("[aria-pressed=true]").length;
seen.chosen = at("title").textContent;
seen.skipped = at("reading").textContent;
seen.run = window.alerted || 0;
document.title = JSON.stringify(seen);
</script>
"""
WATCH = """
<script>
window.errors = [];
window.addEventListener("error", event => window.errors.push(event.message));
document.addEventListener("securitypolicyviolation", event => window.errors.push(event.blockedURI));
window.alert = () => { window.alerted = (window.alerted || 0) + 1; };
</script>
"""


def looked_at(page, folder):
    """What a reader sees of a page."""
    file = folder / "page.html"
    watched = page.replace("<body>", f"<body>{WATCH}").replace("</body>", f"{READER}</body>")
    file.write_bytes(watched.encode())
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder}/profile", f"file://{file}"]
    dom = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout.decode()
    (title,) = re.findall(r"<title>(.*?)</title>", dom, re.DOTALL)
    return json.loads(html.unescape(title))


def number(weight):
    weight = (np.round(np.sqrt(weight) * 255) / 255) ** 2  # as it is rounded for the page
    return "below 0.001" if weight < 0.001 else f"{weight:.3f}"


def told(tokens, weights):
    """The tokens with the six largest weights, as the page tells them."""
    order = np.argsort(-np.round(np.sqrt(weights) * 255), kind="stable")[:6]
    return ", ".join(f"\u201c\u2068{tokens[i]}\u2069\u201d {number(weights[i])}" for i in order if weights[i] > 0)


@pytest.mark.parametrize(("most_bytes", "kept"), [(10**6, 10), (2 * 5 * 10 * 3 * 3, 3)], ids=["all", "largest"])
def test_a_reader_sees_the_attention_of_the_model(tmp_path, monkeypatch, most_bytes, kept):
    pack = sections.pack_maps
    monkeypatch.setattr(sections, "pack_maps", lambda weights: pack(weights, most_bytes))
    tokens, weights = [whole(one) for one in NASTY], maps(2, 3, 10, sharpness=2)
    section = attention_section(TextAttention(list(NASTY), weights))
    seen = looked_at(document("page", "", [("attention", "Attention", section)]), tmp_path)
    assert (seen["errors"], seen["run"], seen["spans"]) == ([], 0, 10)
    assert (seen["start"], seen["title"]) == ("Layer 0, mean of all heads", "Layer 1, head 1")
    found = weights[1, 1]
    found = np.where(np.argsort(np.argsort(-found)) < kept, found, 0)  # the largest of each row
    name = f"\u201c\u2068{tokens[4]}\u2069\u201d"
    assert seen["reading"] == f"{name} attends to {told(tokens, found[4])}"
    assert seen["pinned"]
    assert seen["turned"] == f"{name} is attended by {told(tokens, found[:, 4])}"
    assert [color != "" for color in seen["colors"]] == [np.sqrt(weight) > 0.03 for weight in found[4]]
    said = number(found[3, 2]) if found[3, 2] else "not among the largest weights of this row"
    assert seen["cell"].endswith(f"{tokens[2]}\u2069\u201d: {said}")
    assert seen["pixel"][:3] == pytest.approx(ramp(np.sqrt(found[5, 6])), abs=3)
    assert (seen["pressed"], seen["chosen"]) == (1, "Layer 0, head 0")
    assert tokens[-1] not in seen["skipped"]  # which is the separator here


def test_the_whole_page_is_shown_without_an_error(page, tmp_path):
    seen = looked_at(page, tmp_path)
    assert (seen["errors"], seen["run"]) == ([], 0)
    assert seen["text"].split()[:3] == ["[CLS]", "the", "cat"]


def ramp(part):
    stops = np.array([[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]])
    return [np.interp(part, np.linspace(0, 1, 5), channel) for channel in stops.T]
