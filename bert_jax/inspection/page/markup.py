"""Pieces of HTML in which every word of data is escaped."""

import html
import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

# What no HTML file may hold, or what would change its other letters: shown as a box. A return is an end of a line.
CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}
RIGHT_TO_LEFT = ("R", "AL")


def escaped(text: object) -> str:
    """Returns a text for HTML, between tags and in quoted attributes alike."""
    return html.escape(_well_formed(str(text)).translate(CONTROLS))


def isolated(text: str) -> str:
    """Returns a text that may be of another direction than what is around it."""
    return f"<bdi>{escaped(text)}</bdi>"


def embedded(value: Any) -> str:
    """Returns a value as JSON that may stand in a `<script>`: no text in it can end the script or begin another."""
    text = _well_formed(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _well_formed(text: str) -> str:
    """Replaces halves of surrogate pairs, which UTF-8 does not have, and at which Chromium dies when it draws them."""
    return text.encode("utf-8", "replace").decode()


def direction(texts: Iterable[str]) -> str:
    """Returns `rtl` if most letters of the texts are written from right to left, else `ltr`."""
    kinds = [unicodedata.bidirectional(letter) for text in texts for letter in text]
    right = sum(kind in RIGHT_TO_LEFT for kind in kinds)
    return "rtl" if right > kinds.count("L") else "ltr"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Returns a table.

    Args:
      head: the titles of the columns, texts; there may be none.
      rows: cells that are HTML already.
      kind: the class of the table, for its style.
    """
    titles = "".join(f"<th>{escaped(title)}</th>" for title in head)
    titles = f"<thead><tr>{titles}</tr></thead>\n" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f'<table class="{kind}">\n{titles}<tbody>\n{body}</tbody>\n</table>\n'


def bar(share: float) -> str:
    """Returns a bar whose length is a share of its cell, between 0 and 1."""
    return f'<span class="bar"><i style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></i></span>'
