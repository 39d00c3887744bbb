"""Entities that a file gives as spans of characters of its texts, as tags of their words."""

import itertools
from collections.abc import Iterable
from typing import Any

from bert_jax.data.tables import Record
from bert_jax.data.tables.column_names import TEXTS, TOKENS
from bert_jax.data.tables.columns import plain
from bert_jax.data.words import split_words
from bert_jax.errors import CorpusError, quoted
from bert_jax.objectives.entities import Entity, write
from bert_jax.objectives.tags import IOB2

COLUMNS = ("entities", "spans", "labels", "label", "annotations")
STARTS, ENDS = ("start", "start_offset", "begin"), ("end", "end_offset")
TYPES = ("type", "label", "entity_group", "entity", "tag", "category", "class")


def span_columns(first: Record, text: str = "", spans: str = "") -> tuple[str, str] | None:
    """Returns the columns of the texts and of their spans; None if a table has none of these.

    Args:
      first: the first record of the table.
      text: the column of the texts; empty: one with a usual name.
      spans: the column of the spans, a list in each row; empty: one with a usual name.
    """
    values = first.values
    if not text and any(plain(name) in TOKENS[0] and isinstance(value, list) for name, value in values.items()):
        return None
    texts = [text] if text else [name for tier in TEXTS for name in values if plain(name) in tier]
    lists = [spans] if spans else [name for name in values if plain(name) in COLUMNS]
    found = next((name for name in texts if isinstance(values.get(name), str)), None)
    given = next((name for name in lists if isinstance(values.get(name), list)), None)
    return (found, given) if found and given else None


def spans_as_tags(record: Record, text: str, spans: str) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Returns the words of a text, their tags (IOB2), and how many entities begin or end within a word.

    These are widened to whole words. A span is `[start, end, type]`, or an object such as `{"start": 0, "end": 5,
    "label": "PER"}` or `{"span": [0, 5], "type": "PER"}`; characters count from 0, and `end` is not in it.

    Args:
      record: a row.
      text: the column of the text.
      spans: that of the spans.

    Raises:
      CorpusError: a span cannot be read, is not in the text, or shares a word with another.
    """
    written, words, found = record.values.get(text), [], []
    if not isinstance(written, str) or not isinstance(record.values.get(spans), list):
        raise CorpusError(f"{record.where} lacks the text {quoted(text)} or the list {quoted(spans)}: mend the row.")
    words, widened = split_words(written), 0
    for given in record.values[spans]:
        start, end, kind = _span(given, record.where)
        inside = [i for i, word in enumerate(words) if word.start < end and start < word.end]
        if not 0 <= start < end <= len(written) or not inside:
            raise CorpusError(f"{record.where}: {quoted(given)} is no part of the text: mend the row.")
        widened += words[inside[0]].start < start or end < words[inside[-1]].end
        found.append(Entity(kind, inside[0], inside[-1]))
    found.sort(key=lambda one: one.first)
    for one, other in itertools.pairwise(found):
        if other.first <= one.last:
            raise CorpusError(f"{record.where}: {one.type} and {other.type} share a word: a word has one tag.")
    return tuple(written[w.start : w.end] for w in words), tuple(write(found, len(words), IOB2)), widened


def _span(given: Any, where: str) -> tuple[int, int, str]:
    if isinstance(given, dict):
        start, end = given["span"] if _is_pair(given.get("span")) else (_first(given, STARTS), _first(given, ENDS))
        kind = _first(given, TYPES)
    else:
        start, end, kind = given if isinstance(given, list) and len(given) == 3 else (None, None, None)
    if type(start) is not int or type(end) is not int or not isinstance(kind, str) or not kind.strip():
        raise CorpusError(f"{where}: {quoted(given)} is no span: write [start, end, type], or an object of these.")
    return start, end, kind.strip()


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2


def _first(given: dict[str, Any], names: Iterable[str]) -> Any:
    return next((given[name] for name in names if name in given), None)
