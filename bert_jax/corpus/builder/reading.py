"""Reads a unit of a source as a stream of documents, in bounded memory whatever the files hold.

A document longer than `DOCUMENT_CHARACTERS` is cut at the end of a line, a line longer than `LINE_BYTES` between two
characters. Every cut is counted.
"""

import collections
import dataclasses
import json
import typing
from collections.abc import Iterator

from etils import epath

from bert_jax.corpus.builder import docstrings, opening, text
from bert_jax.corpus.builder.sources import Source, Unit
from bert_jax.errors import CorpusError

DOCUMENT_CHARACTERS = 4 << 20
LINE_BYTES = 1 << 20
# A JSON line must fit into memory as a whole; longer ones are skipped and counted.
RECORD_BYTES = 64 << 20
# How many rows of a parquet file or records of a TFDS data set are held in memory.
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
    read = {"docstrings": _docstrings, "text": _text, "jsonl": _jsonl, "parquet": _parquet, "tfds": _tfds}
    for file, name in unit.files:
        try:
            for document in read[unit.source.kind](unit, file, name, counts):
                if document.text and not document.text.isspace():
                    yield from _cut(document, counts)
                else:
                    counts["empty_documents"] += 1
        except opening.DAMAGES as error:
            raise CorpusError(f"{file} is damaged or cannot be read ({error}): restore or remove it.") from error


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
    """Reads plain text. Blank lines separate documents; a line is a sentence (BERT's format) or a paragraph.

    A document belongs to the unit in which the line before it begins, so that no two units share a document.
    """
    language = unit.source.language
    with opening.open_text(file, unit.begin, unit.source.encoding) as handle:
        position, skipping, first, part, was_whole = handle.tell(), unit.begin > 0, -1, 0, True
        lines, size = [], 0  # of the document or its part; `first` is its first byte, -1 between documents
        while True:
            begins, (line, is_whole) = position, _line(handle)
            position += len(line)
            if line and not (is_whole and was_whole and _is_blank(line)):
                was_whole = is_whole
                if skipping:
                    continue  # the end of a document that belongs to the unit before
                if size + len(line) > DOCUMENT_CHARACTERS:
                    yield Document(f"{name}:{first}", text.decode(b"".join(lines), counts), language, part)
                    counts["cut_documents"] += 1
                    lines, size, part = [], 0, part + 1
                first = begins if first < 0 else first
                lines.append(line if is_whole else line + b"\n")
                size += len(line)
                counts["cut_lines"] += not is_whole
                continue
            if lines:
                yield Document(f"{name}:{first}", text.decode(b"".join(lines), counts), language, part)
            if not line or 0 <= unit.end <= begins:
                return
            lines, size, skipping, first, part, was_whole = [], 0, False, -1, 0, True


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
            try:
                # Raw control characters in strings are common, and the text policy removes them.
                record = json.loads(text.decode_only(raw, counts).lstrip("\ufeff"), strict=False)
            except (ValueError, RecursionError):
                record = None
            fields = _fields(record, unit.source) if isinstance(record, dict) else None
            if fields is None:
                raise CorpusError(
                    f"{file}, line {_line_number(file, begins, unit.source)}, {_wrong(record, unit.source)}"
                )
            yield _document(fields, f"{name}:{begins}", unit.source, counts)


def _wrong(record: object, source: Source) -> str:
    """Describes what is wrong with a record for which `_fields` returned None."""
    if isinstance(record, dict) and source.text not in record:
        return (
            f"is not a JSON object with text in its field '{source.text}' (its fields: {', '.join(record) or 'none'}):"
            f" fix or remove it, or name the field, as in {source.kind}[text=…]:{source.pattern}."
        )
    return f"is not a JSON object with text in its field '{source.text}': fix or remove it."


def _line_number(file: str, position: int, source: Source) -> int:
    number = 1
    with opening.open_text(file, 0, source.encoding) as handle:
        while position > 0:
            piece = handle.read(min(position, 1 << 20))
            number += piece.count(b"\n")
            position -= len(piece)
    return number


def _fields(record: dict, source: Source) -> tuple[str, object, str] | None:
    """The text, id and language of a record, or None if the text or the language is not a string."""
    content, language = record.get(source.text), record.get("lang") or ""
    if not isinstance(content, str) or not isinstance(language, str):
        return None
    return content, record.get(source.id), language


def _document(fields: tuple[str, object, str], fallback: str, source: Source, counts) -> Document:
    content, identifier, language = fields
    identifier = fallback if identifier is None else text.clean(str(identifier), collections.Counter())
    return Document(identifier, text.clean(content, counts), language or source.language)


def _parquet(unit: Unit, file: str, name: str, counts) -> Iterator[Document]:
    import pyarrow
    import pyarrow.parquet  # needed for this kind only

    source, row = unit.source, unit.begin
    with epath.Path(file).open("rb") as handle:
        table = pyarrow.parquet.ParquetFile(handle, pre_buffer=False)
        present = table.schema_arrow.names
        columns = list(dict.fromkeys(column for column in (source.text, source.id, "lang") if column in present))
        for batch in table.iter_batches(ROWS, row_groups=[int(unit.part)], columns=columns):
            # As bytes, because pyarrow raises on invalid UTF-8.
            raw = {column: _bytes(batch.column(column)).to_pylist() for column in columns}
            for i in range(batch.num_rows):
                record = {column: _decoded(values[i], counts) for column, values in raw.items()}
                record[source.text] = "" if record[source.text] is None else record[source.text]
                yield _row(record, f"{name}:{row}", file, source, counts)
                row += 1


def _bytes(column):
    import pyarrow

    types = {pyarrow.string(): pyarrow.binary(), pyarrow.large_string(): pyarrow.large_binary()}
    return column.cast(types.get(column.type, column.type))


def _decoded(value, counts):
    return text.decode_only(value, counts) if isinstance(value, bytes) else value


def _row(record: dict, fallback: str, file: str, source: Source, counts) -> Document:
    fields = _fields(record, source)
    if fields is None:
        raise CorpusError(f"{file}: '{source.text}' or 'lang' of {fallback} is not text: name another field.")
    return _document(fields, fallback, source, counts)


def _tfds(unit: Unit, file: str, name: str, counts) -> Iterator[Document]:
    import tensorflow_datasets as tfds  # needed for this kind only

    # TFDS declares a plain sequence, which has no `__getitems__`.
    records: typing.Any = tfds.builder_from_directory(file).as_data_source(split=unit.part)
    for begin in range(unit.begin, unit.end, ROWS):
        rows = range(begin, min(begin + ROWS, unit.end))
        for number, row in zip(rows, records.__getitems__(list(rows)), strict=True):
            record = {key: _decoded(row.get(key), counts) for key in (unit.source.text, unit.source.id, "lang")}
            yield _row(record, f"{name}:{number}", file, unit.source, counts)
