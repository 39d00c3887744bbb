"""Attributions as coloured text."""

import itertools
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from bert_jax.inspection.attribution import Attribution
from bert_jax.inspection.fonts import drawable, drawn_widths
from bert_jax.reporting.figure_style import DPI, NORMAL, PAGE, SMALL, TITLE
from bert_jax.reporting.panel import COLORS, GREY

MARGIN, LINE, GAP, PADDING = 0.1, 0.22, 0.075, 0.02  # inches
BEARING = 0.004  # inches at each side where two pieces of a word meet, as between other letters
HEADING, BAR = 0.46, 0.45  # inches above the text of an attribution, and of the colour bar below all
# Orange to blue, which colour-blind readers tell apart; light enough at both ends for black letters.
SHADES = LinearSegmentedColormap.from_list("for and against", ["#f0a35e", "#ffffff", "#6fb1e0"])


def draw_attributions(*attributions: Attribution) -> Figure:
    """Draws texts with each token in the colour of its score, one below the other and on the same scale.

    Tokens for the prediction are blue; tokens against it are orange, and underlined so that they show in grey, too. A
    text of a right-to-left script runs from the right.

    Args:
      attributions: one or several, such as those of integrated gradients and of occlusion.

    Returns:
      A matplotlib `Figure`.
    """
    paragraphs = [_Paragraph(one) for one in attributions]
    height = sum(HEADING + LINE * len(one.lines) for one in paragraphs) + BAR
    figure = Figure(figsize=(PAGE, height), dpi=DPI)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, PAGE), ylim=(height, 0))
    axis.axis("off")
    largest = max(float(np.abs(one.scores).max()) for one in attributions) or 1.0
    norm = Normalize(-largest, largest)
    top = 0.0
    for one, paragraph in zip(attributions, paragraphs, strict=True):
        (title,), families = drawable([one.target])
        font = {"fontsize": TITLE, "family": families, "va": "center"}
        axis.text(MARGIN, top + 0.15, _cut(title, font), **font)
        axis.text(MARGIN, top + 0.3, f"{one.method}: {one.summary}", fontsize=SMALL, color=GREY, va="center")
        top += HEADING
        for line in paragraph.lines:
            for token, left in paragraph.places(line):
                width, score = paragraph.widths[token], float(one.scores[token])
                box = (left, top - 0.42 * LINE)
                axis.add_patch(Rectangle(box, width, 0.84 * LINE, facecolor=SHADES(norm(score)), linewidth=0))
                if score < -largest / 50:
                    axis.plot([left, left + width], [top + 0.36 * LINE] * 2, color=COLORS[1], linewidth=1)
                inside = left + paragraph.sides[token][0]
                axis.text(inside, top, paragraph.texts[token], ha="left", **paragraph.font)
            top += LINE
    bar = figure.add_axes((0.5 - 1.1 / PAGE, 0.25 / height, 2.2 / PAGE, 0.08 / height))
    shades = ScalarMappable(norm, SHADES)
    figure.colorbar(shades, cax=bar, orientation="horizontal", ticks=MaxNLocator(4)).outline.set(linewidth=0.5)
    bar.tick_params(labelsize=SMALL, length=2)
    units = {one.unit for one in attributions}
    unit = f", {units.pop()}" if len(units) == 1 and units != {""} else ""
    for x, side, words in ((-0.03, "right", "against (underlined)"), (1.03, "left", f"for the prediction{unit}")):
        bar.text(x, 0.5, words, ha=side, va="center", fontsize=NORMAL, transform=bar.transAxes)
    return figure


class _Paragraph:
    """The tokens of a text on lines.

    Attributes:
      texts: the tokens as they are drawn: those that go on a word touch it, without their sign.
      sides: the room to the left and to the right of each, in inches: little where it touches another piece.
      widths: of each, in inches, with that room.
      font: matplotlib's names of the font.
      lines: the tokens of each line, in the order of the text.
    """

    def __init__(self, attribution: Attribution):
        self.begins = attribution.begins_word.tolist()
        plain = [
            token if begins else token.removeprefix("##")
            for token, begins in zip(attribution.tokens, self.begins, strict=True)
        ]
        self.directions = [_direction(token) for token in plain]
        inside = self.directions[1:-1]  # the first and the last token are special
        self.is_rtl = inside.count("R") > inside.count("L")
        self.texts, families = drawable(plain)
        self.font = {"fontsize": TITLE, "family": families, "va": "center_baseline"}
        self.sides = [self._room(token) for token in range(len(plain))]
        widths = drawn_widths(self.texts, self.font)
        self.widths = [width + left + right for width, (left, right) in zip(widths, self.sides, strict=True)]
        self.lines: list[list[int]] = []
        end = np.inf
        for token, width in enumerate(self.widths):
            end += width + GAP * self.begins[token]
            if end > PAGE - MARGIN:
                self.lines.append([])
                end = MARGIN + width
            self.lines[-1].append(token)

    def _room(self, token: int) -> tuple[float, float]:
        goes_on = token + 1 < len(self.begins) and not self.begins[token + 1]
        before, after = PADDING if self.begins[token] else BEARING, BEARING if goes_on else PADDING
        is_rtl = self.directions[token] == "R" if self.directions[token] else self.is_rtl
        return (after, before) if is_rtl else (before, after)

    def places(self, line: Sequence[int]) -> Iterator[tuple[int, float]]:
        """Yields each token of a line with its left end."""
        shown = _visual_order(line, self.directions, self.is_rtl)
        pairs = itertools.pairwise(shown)
        gaps = [0.0, *(GAP * (self.begins[max(pair)] or abs(pair[0] - pair[1]) > 1) for pair in pairs)]
        total = sum(gaps) + sum(self.widths[token] for token in line)
        left = PAGE - MARGIN - total if self.is_rtl else MARGIN
        for token, gap in zip(shown, gaps, strict=True):
            left += gap
            yield token, left
            left += self.widths[token]


def _cut(title: str, font: dict) -> str:
    """A title that is no wider than the picture; of a longer one, its beginning."""
    (width,), room = drawn_widths([title], font), PAGE - 2 * MARGIN
    return title if width <= room else f"{title[: int(0.95 * len(title) * room / width)]}…"


def _direction(text: str) -> str:
    """The direction of the first letter or digit that has one: `L`, `R`, or none."""
    for letter in text:
        if (kind := unicodedata.bidirectional(letter)) in ("L", "R", "AL", "EN", "AN"):
            return "R" if kind in ("R", "AL") else "L"
    return ""


def _visual_order(line: Sequence[int], directions: Sequence[str], is_rtl: bool) -> list[int]:
    """The tokens of a line from left to right: runs of the other direction are turned round."""
    other = "L" if is_rtl else "R"
    order: list[int] = []
    run: list[int] = []  # of the other direction, and what stands between
    ends = 0  # of the run, after its last token of the other direction
    for token in line:
        if directions[token] == other:
            run.append(token)
            ends = len(run)
        elif run and not directions[token]:
            run.append(token)
        else:
            order += [*run[:ends][::-1], *run[ends:], token]
            run, ends = [], 0
    order += [*run[:ends][::-1], *run[ends:]]
    return order[::-1] if is_rtl else order
