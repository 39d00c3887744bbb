"""Markdown tables, and texts escaped and cut for them."""

import re
from collections.abc import Sequence


def row(cells: Sequence[str]) -> str:
    """Returns one line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = False) -> list[str]:
    """Returns the lines of a table; with `numbers`, all columns but the first are right-aligned."""
    rule = ["---", *["--:" if numbers else "---"] * (len(head) - 1)]
    return [row(head), row(rule), *map(row, rows), ""]


def plain(text: str) -> str:
    """Escapes everything that Markdown would interpret."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", text)


def excerpt(text: str, most: int) -> str:
    """Returns the beginning of a text for a cell of a table: one line of at most `most` characters, escaped."""
    flat = " ".join(text.split())
    return plain(flat[:most]) + ("…" if len(flat) > most else "")


def code(text: str) -> str:
    """Formats text as inline code, even if it has backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"
