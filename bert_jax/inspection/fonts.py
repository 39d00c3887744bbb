"""Fonts for the tokens of every script, from those that the machine has.

Matplotlib shapes text (joined Arabic letters, Indic clusters) and turns right-to-left text itself; all it needs are
fonts that have the letters.
"""

import functools
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging
from matplotlib import font_manager, ft2font
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bert_jax.reporting.figure_style import DPI

USUAL = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew
# The scripts that one CJK font has, by the first word of their letters' Unicode names.
CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH")
# Words in the names of fonts that print letters as on a sign, preferred in this order.
PREFERRED = ("noto sans cjk", "noto sans", "source han sans", "sans", "gothic", "hei")
BOX = "▯"
MOST_SHOWN = 5  # characters in a message


def drawable(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Makes texts ready to be drawn.

    A warning names the characters that no font has, and a font to install.

    Returns:
      The texts, with a box in place of each of these characters and dollars that matplotlib does not take for
      formulas; and the families that together have all other characters, for matplotlib's `family`.
    """
    needed = {ord(letter) for letter in "".join(texts) if letter.isprintable() and unicodedata.category(letter) != "Mn"}
    families = [USUAL]
    missing = needed - _letters(font_manager.findfont(USUAL))
    for file in _files() if missing else ():
        if found := missing & _letters(file):
            families.append(_family(file))
            missing -= found
        if not missing:
            break
    if missing:
        _warn("".join(map(chr, sorted(missing))))
    changed = dict.fromkeys(missing, BOX) | {ord("$"): r"\$"}
    return [text.translate(changed) for text in texts], families


def drawn_widths(texts: Sequence[str], font: Mapping[str, Any]) -> list[float]:
    """Returns the width of each text in inches, as it is drawn with matplotlib's keywords of a font."""
    figure = Figure(dpi=DPI)
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [figure.text(0, 0, text, **font).get_window_extent(renderer).width / DPI for text in texts]


@functools.cache
def _warn(missing: str) -> None:
    """Warns once about these characters."""
    shown = ", ".join(missing[:MOST_SHOWN]) + (", …" if len(missing) > MOST_SHOWN else "")
    logging.warning(
        "No font on this machine has %s, so boxes are drawn instead: install %s.",
        shown,
        " and ".join(dict.fromkeys(map(_font_for, missing))),
    )


def _font_for(letter: str) -> str:
    script = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    if script in CJK:
        return "Noto Sans CJK (on Debian, the package fonts-noto-cjk)"
    if unicodedata.category(letter)[0] == "L":
        return f"Noto Sans {script.capitalize()} (on Debian, the package fonts-noto-core)"
    return "Symbola (on Debian, the package fonts-symbola)"


@functools.cache
def _files() -> list[str]:
    """The font files of the machine, those for screens and signs first."""

    def order(file: str) -> tuple:
        name = Path(file).stem.lower().replace("-", " ").replace("notosans", "noto sans ")
        name = name.replace("sanscjk", "sans cjk").replace("  ", " ")
        rank = next((i for i, word in enumerate(PREFERRED) if word in name), len(PREFERRED))
        slanted = any(word in name for word in ("bold", "italic", "oblique", "light", "thin", "black", "serif", "mono"))
        return slanted, rank, len(name), name

    # Not matplotlib's own list, which it keeps from before a font was installed.
    return sorted(font_manager.findSystemFonts(), key=order)


@functools.cache
def _letters(file: str) -> frozenset[int]:
    """The code points that a font has; none if matplotlib cannot read it."""
    try:
        return frozenset(ft2font.FT2Font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@functools.cache
def _family(file: str) -> str:
    """The name of a font's family, which matplotlib knows from now on."""
    font_manager.fontManager.addfont(file)
    return font_manager.FontProperties(fname=file).get_name()
