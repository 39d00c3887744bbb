"""Questions about passages: SQuAD's files, and tables of any form with a question in each row.

SQuAD's files (Rajpurkar et al. 2016, 2018) are one JSON value: articles under `data`, their `paragraphs`, each with a
`context` and its questions, `qas`. A level may be missing, so that rows under `data`, as Hugging Face writes them, are
read, too.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

from etils import epath

from bert_jax.data.tables.lines import conversion
from bert_jax.data.tables.record import Record
from bert_jax.data.tables.tables import find, form_problem, read_table, suffix
from bert_jax.data.tables.tfds import PREFIX
from bert_jax.errors import CorpusError
from bert_jax.files import opening
from bert_jax.files.damage import readable

LEVELS = ("data", "paragraphs", "qas", "questions")


def read_questions(path: epath.PathLike) -> Iterator[Record]:
    """Yields a record for each question, in order: its own values, and those of its paragraph and article.

    Args:
      path: as in `read_table`. A `.json` file is one JSON value, or an object on each line.

    Raises:
      CorpusError: as in `read_table`; a file holds no questions.
    """
    path = os.fspath(path)
    for file in [path] if path.startswith(PREFIX) else find(path):
        if problems := form_problem("", file):
            raise CorpusError(problems[0])
        value = _whole(file) if suffix(file) == ".json" else None
        if value is None:
            yield from read_table(file)
            continue
        count = 0
        for count, values in enumerate(_flat(value, {}), 1):
            named = f" ({values['id']})" if isinstance(values.get("id"), str | int) else ""
            yield Record(values, f"{file}, question {count}{named}")
        if not count:
            raise CorpusError(f"{file} holds no questions: there is none under {' / '.join(LEVELS[:3])}.")


def _whole(file: str) -> Any:
    """The JSON value of a file; None if it has several, on lines."""
    handle = opening.open_marked(file, lambda encoding: f"convert it, as in {conversion(file, encoding)}")
    with handle, readable(file):
        content = handle.read()
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{file} is not UTF-8 (byte 0x{content[error.start]:02x}): convert it, as in {conversion(file, 'cp1252')}"
            f" if {opening.as_western(content)!r} looks right."
        ) from None
    try:
        value, end = json.JSONDecoder().raw_decode(text)
        if r"\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise CorpusError(f"{file} holds half of a surrogate pair, which is no character: mend the escape.") from None
    except json.JSONDecodeError as error:
        raise CorpusError(f"{file}, line {error.lineno} is not JSON ({error.msg}): mend it.") from None
    except (ValueError, RecursionError):
        raise CorpusError(f"{file} is not JSON (too long a number or too deep): mend it.") from None
    return value if end == len(text) else None


def _flat(value: Any, outer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the questions of a part of a file, with the text of the parts around them."""
    if isinstance(value, list):
        for one in value:
            yield from _flat(one, outer)
    elif isinstance(value, dict):
        level = next((name for name in LEVELS if isinstance(value.get(name), list)), None)
        if level is None:
            yield outer | value
        else:
            inherited = {name: found for name, found in value.items() if isinstance(found, str) and name != "id"}
            yield from _flat(value[level], outer | inherited)
