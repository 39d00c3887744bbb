"""Reads a unit of a source as a stream of documents, in bounded memory whatever the files hold.

A document longer than `DOCUMENT_CHARACTERS` is cut at the end of a line, a line longer than `LINE_BYTES` between two
characters. Every cut is counted.
"""

import collections
import dataclasses
import json
import typing
from collections.abc import Iterator

from bert_jax.corpus.builder import comma_separated, docstrings, parquet, text
from bert_jax.corpus.builder.sources import FILES, LINES, Source, Unit
from bert_jax.errors import CorpusError
from bert_jax.files import opening
from bert_jax.files.damage import damaged, readable

DOCUMENT_CHARACTERS = 4 << 20
LINE_BYTES = 1 << 20
# A JSON line must fit into memory as a whole; longer ones are skipped and counted.
RECORD_BYTES = 64 << 20
# How many records of a TFDS data set are held in memory.
ROWS = 64


@dataclasses.dataclass(frozen=True)
class Document:
    """One document, or one part of a document that was cut.

    Attributes:
      id: the record's own id, or the file's name with the number of the first byte or of the row.
      text: clean text; each line is a paragraph.
      language: the code for sentence splitting.
      part: counts the parts of a document that was cut, from 0.
    """

    id: str
    text: str
    language: str
    part: int = 0


def documents(unit: Unit, counts: collections.Counter[str]) -> Iterator[Document]:
    """Yields the documents of a unit in order, and adds what the text policy changed to `counts`.

    Raises:
      CorpusError: a file is damaged, or a record lacks a field.
    """
    read = {"docstrings": _docstrings, "text": _text, "jsonl": _jsonl}.get(unit.source.kind, _table)
    if unit.source.documents == LINES:
        read = _text_lines
    for file, name in unit.files:
        last = None
        try:
            for document in read(unit, file, name, counts):
                last = document
                if document.text and not document.text.isspace():
                    yield from _cut(document, counts)
                else:
                    counts["empty_documents"] += 1
        except opening.DAMAGES as error:
            raise damaged(file, error, f" after the document {last.id}" if last else "") from error


def _cut(document: Document, counts) -> Iterator[Document]:
    """Yields a document in parts of at most `DOCUMENT_CHARACTERS`."""
    content, start = document.text, 0
    while len(content) - start > DOCUMENT_CHARACTERS:
        # After the last line that fits or, if there is none, after the last word.
        end = start + DOCUMENT_CHARACTERS
        end = max(content.rfind("\n", start + 1, end), 0) or max(content.rfind(" ", start + 1, end), 0) or end
        yield dataclasses.replace(document, text=content[start:end])
        counts["cut_documents"] += 1
        document, start = dataclasses.replace(document, part=document.part + 1), end
    yield dataclasses.replace(document, text=content[start:]) if start else document


def _docstrings(unit: Unit, file: str, name: str, counts) -> Iterator[Document]:
    for content in docstrings.read(file):
        yield Document(name, text.clean(content, counts), unit.source.language)


def _skip_line(handle) -> None:
    while (piece := handle.readline(LINE_BYTES)) and not piece.endswith(b"\n"):
        pass


def _text(unit: Unit, file: str, name: str, counts) -> Iterator[Document]:
    """Reads plain text. A line is a sentence (BERT's format) or a paragraph.

    Blank lines separate documents, unless a file is one document. A document belongs to the unit in which the line
    before it begins, so that no two units share a document.
    """
    language, has_one = unit.source.language, unit.source.documents == FILES
    with opening.open_text(file, unit.begin, unit.source.encoding) as handle:
        position, skipping, first, part, was_whole = handle.tell(), unit.begin > 0, -1, 0, True
        lines, size = [], 0  # of the document or its part; `first` is its first byte, -1 between documents
        while True:
            begins, (line, is_whole) = position, _line(handle)
            position += len(line)
            if line and (has_one or not (is_whole and was_whole and _is_blank(line))):
                was_whole = is_whole
                if skipping:
                    continue  # the end of a document that belongs to the unit before
                if size + len(line) > DOCUMENT_CHARACTERS:
                    yield Document(
                        name if has_one else f"{name}:{first}", text.decode(b"".join(lines), counts), language, part
                    )
                    counts["cut_documents"] += 1
                    lines, size, part = [], 0, part + 1
                first = begins if first < 0 else first
                lines.append(line if is_whole else line + b"\n")
                size += len(line)
                counts["cut_lines"] += not is_whole
                continue
            if lines:
                yield Document(
                    name if has_one else f"{name}:{first}", text.decode(b"".join(lines), counts), language, part
                )
            if not line or 0 <= unit.end <= begins:
                return
            lines, size, skipping, first, part, was_whole = [], 0, False, -1, 0, True


def _text_lines(unit: Unit, file: str, name: str, counts) -> Iterator[Document]:
    """Reads plain text whose lines are documents. A line belongs to the unit in which it begins."""
    with opening.open_text(file, unit.begin, unit.source.encoding) as handle:
        position = handle.tell()
        while unit.end < 0 or position < unit.end:
            begins, part, is_whole = position, 0, False
            while not is_whole:
                line, is_whole = _line(handle)
                position += len(line)
                if part or not (is_whole and _is_blank(line)):
                    yield Document(f"{name}:{begins}", text.decode(line, counts), unit.source.language, part)
                counts["cut_lines"] += not is_whole
                part += 1
            if position == begins:
                return


def _line(handle) -> tuple[bytes, bool]:
    """The next line, or piece of a line that is too long, and whether the line ends with it. b"" at the end."""
    line = handle.readline(LINE_BYTES)
    if line.endswith(b"\n") or len(line) < LINE_BYTES:
        return line, True
    # Characters must not be cut, so the remaining bytes of the last one are read, too.
    while (following := handle.peek(1)[:1]) and following[0] & 0xC0 == 0x80 and len(line) < LINE_BYTES + 4:
        line += handle.read(1)
    return line, False


def _is_blank(line: bytes) -> bool:
    """Whether the text policy leaves nothing of a line."""
    stripped = line.strip()
    if not stripped or 0x20 < stripped[0] < 0x7F:
        return not stripped
    return not text.decode(line, collections.Counter()).strip()


def _jsonl(unit: Unit, file: str, name: str, counts) -> Iterator[Document]:
    """Reads one JSON object per line. A line belongs to the unit in which it begins."""
    with opening.open_text(file, unit.begin, unit.source.encoding) as handle:
        position = handle.tell()
        while unit.end < 0 or position < unit.end:
            begins, raw = position, handle.readline(RECORD_BYTES)
            if not raw:
                return
            if len(raw) == RECORD_BYTES and not raw.endswith(b"\n"):
                counts["oversized_records"] += 1
                _skip_line(handle)
                position = handle.tell()
                continue
            position += len(raw)
            if _is_blank(raw):
                continue
            record, wrong = _parsed(text.decode_only(raw, counts))
            if wrong := wrong or _problem(record, unit.source):
                raise CorpusError(f"{file}, line {_line_number(file, begins, unit.source)}, {wrong}")
            yield _document(record, f"{name}:{begins}", unit.source, counts)


def _parsed(line: str) -> tuple[typing.Any, str]:
    """The value of a line of JSON, and what is wrong with the line."""
    try:
        # Raw control characters in strings are common, and the text policy removes them.
        return json.loads(line.lstrip("\ufeff").rstrip(), strict=False, parse_int=_integer), ""
    except RecursionError:
        return None, "is nested too deeply: correct or remove it."
    except json.JSONDecodeError as error:
        if line.lstrip().startswith("["):
            return None, "begins an array, but each line must be an object: `jq -c '.[]'` writes them so."
        return None, f"is not valid JSON ({error.msg}, column {error.colno}): correct or remove it."


def _integer(digits: str) -> int | str:
    # Python refuses to convert thousands of digits.
    return int(digits) if len(digits) < 1000 else digits


def _problem(record: object, source: Source) -> str:
    """What is wrong with a record; empty if nothing is."""
    if not isinstance(record, dict):
        return f"is {_kind(record)}, not a JSON object: correct or remove it."
    if source.text not in record:
        fields = ", ".join(map(repr, record))[:200].replace("'", "") or "none"
        return (
            f"has no field '{source.text}' (its fields: {fields}): correct it, or name the field, as in"
            f" {source.kind}[text=…]:{source.pattern}."
        )
    if not isinstance(record[source.text], str):
        return (
            f"has {_kind(record[source.text])} in its field '{source.text}', not text: correct it, or name another"
            f" field, as in {source.kind}[text=…]:{source.pattern}."
        )
    if not isinstance(record.get(source.language_field) or "", str):
        return (
            f"has {_kind(record[source.language_field])} in its field '{source.language_field}', not the code of a"
            f" language: name another field, or none, as in {source.kind}[lang_field=none]:{source.pattern}."
        )
    return ""


def _kind(value: object) -> str:
    names: dict[type, str] = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    number = isinstance(value, int | float)
    return names.get(type(value), "a number" if number else f"a value of the type {type(value).__name__}")


def _line_number(file: str, position: int, source: Source) -> int:
    number = 1
    with opening.open_text(file, 0, source.encoding) as handle:
        while position > 0:
            piece = handle.read(min(position, 1 << 20))
            number += piece.count(b"\n")
            position -= len(piece)
    return number


def _document(record: dict, place: str, source: Source, counts) -> Document:
    """Makes a document of a record; without an id, it is named after its place."""
    identifier = record.get(source.id)
    identifier = "" if identifier is None else text.clean(str(identifier), collections.Counter()).strip()
    language = record.get(source.language_field) or source.language
    return Document(identifier or place, text.clean(record[source.text], counts), language)


def _table(unit: Unit, file: str, name: str, counts) -> Iterator[Document]:
    """Reads rows of named values."""
    source, row = unit.source, unit.begin
    read = {"parquet": _parquet, "tfds": _tfds}.get(source.kind, _csv)
    for values in read(unit, file, counts):
        record = {key: text.decode_only(v, counts) if isinstance(v, bytes) else v for key, v in values.items()}
        if wrong := _problem(record, source):
            raise CorpusError(f"{file}, row {row}, {wrong}")
        yield _document(record, f"{name}:{row}", source, counts)
        row += 1


def _parquet(unit: Unit, file: str, _) -> Iterator[dict]:
    source = unit.source
    for row in parquet.rows(file, int(unit.part), (source.text, source.id, source.language_field)):
        # An empty cell is an empty document.
        yield row | {source.text: row[source.text] or ""} if source.text in row else row


def _tfds(unit: Unit, file: str, _) -> Iterator[dict]:
    import tensorflow_datasets as tfds  # needed for this kind only

    source = unit.source
    with readable(file):
        # TFDS declares a plain sequence, which has no `__getitems__`.
        records: typing.Any = tfds.builder_from_directory(file).as_data_source(split=unit.part)
    for begin in range(unit.begin, unit.end, ROWS):
        rows = list(range(begin, min(begin + ROWS, unit.end)))
        with readable(file, f" after row {begin}"):
            found = records.__getitems__(rows)
        for row in found:
            yield {key: row[key] for key in (source.text, source.id, source.language_field) if key in row}


def _csv(unit: Unit, file: str, counts) -> Iterator[dict]:
    with opening.open_text(file, 0, unit.source.encoding) as handle:
        yield from comma_separated.rows(file, handle, unit.source, counts)
