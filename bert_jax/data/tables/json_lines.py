"""JSON Lines: an object on each line."""

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from bert_jax.data.tables.lines import lines
from bert_jax.data.tables.record import Record
from bert_jax.errors import CorpusError, quoted


def read_json_lines(file: str) -> Iterator[Record]:
    """Yields the objects of a file. Empty lines are skipped.

    Raises:
      CorpusError: a line is not a JSON object, holds a name twice, NaN, Infinity, or half of a surrogate pair.
    """
    for number, text in lines(file):
        if text.strip():
            where = f"{file}, line {number}"
            yield Record(_parse(text, where), where)


class _ValueError(Exception):
    """What is wrong with a value."""


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite)
        if r"\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except _ValueError as problem:
        raise CorpusError(f"{where} {problem}.") from None
    except UnicodeEncodeError:
        raise CorpusError(f"{where} holds half of a surrogate pair, which is no character: mend the escape.") from None
    except (ValueError, RecursionError) as error:
        begins = text.lstrip()[:1]
        mend = "mend the line; each line must be a whole object, and `jq -c .` writes them so"
        if begins == "[":
            mend = "each line must be an object; `jq -c '.[]'` writes the objects of an array so"
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "too long a number or too deep"
        raise CorpusError(f"{where} is not JSON ({reason}): {mend}.") from None
    if not isinstance(value, dict):
        raise CorpusError(
            f"{where} is not a JSON object, as {{\"text\": …}} is: `jq -c '.[]'` writes the objects of an array so."
        )
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise _ValueError(f"holds {quoted(twice)} twice: remove one of them")
    return values


def _no_number(name: str) -> NoReturn:
    raise _ValueError(f"holds {name}, which is no number: remove the row, or write null")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        _no_number(digits)
    return value
