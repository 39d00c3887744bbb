"""Text as Markdown that says the same."""

import re
from collections.abc import Sequence


def row(cells: Sequence[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = False) -> list[str]:
    """The lines of a table; with `numbers`, all columns but the first stand to the right."""
    rule = ["---", *["--:" if numbers else "---"] * (len(head) - 1)]
    return [row(head), row(rule), *map(row, rows), ""]


def plain(text: str) -> str:
    """Text in which nothing is taken for Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", text)


def code(text: str) -> str:
    """Text as code, also text with backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"
