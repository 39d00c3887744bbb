"""CSV and TSV files: rows of fields, by the names of their columns.

Quoted fields may hold delimiters and line ends. Whatever does not fit ends the build, because a single lost quote moves
all text behind it into other fields.
"""

import collections
import csv
from collections.abc import Iterator
from typing import BinaryIO

from bert_jax.corpus.builder import text
from bert_jax.corpus.builder.sources import Source
from bert_jax.errors import CorpusError

# The longest line and field.
FIELD_BYTES = 64 << 20


def rows(file: str, handle: BinaryIO, source: Source, counts: collections.Counter[str]) -> Iterator[dict[str, str]]:
    """Yields the rows of a file by the names of their columns; without a header, these are 1, 2, ….

    Args:
      file: is named in errors.
      handle: the open file.
      source: says what its rows look like.
      counts: what the text policy changed is added.

    Raises:
      CorpusError: a row has more or fewer fields than the header, quotes are wrong, or a column is missing.
    """
    columns: list[str] = []
    for line, row in _rows(file, handle, source, counts):
        if not columns:
            columns = row if source.header else [str(i + 1) for i in range(len(row))]
            _check_columns(file, columns, source)
            if source.header:
                continue
        if len(row) != len(columns):
            mend = "put quotes around fields that hold it" if source.quotes else f"or give {source.kind}[quotes=yes]"
            raise CorpusError(
                f"{file}, line {line}, has {len(row)} fields, but {'the header' if source.header else 'the first row'}"
                f" has {len(columns)}: check the delimiter, {mend}, or correct the row."
            )
        yield dict(zip(columns, row, strict=True))


def _rows(file, handle, source, counts) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows that are not empty, each with the number of its first line."""
    csv.field_size_limit(FIELD_BYTES)
    reader = csv.reader(
        _lines(file, handle, counts),
        delimiter=source.delimiter,
        quoting=csv.QUOTE_MINIMAL if source.quotes else csv.QUOTE_NONE,
        strict=True,
    )
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            mend = (
                f"correct it, or give {source.kind}[quotes=no] if quotes mean nothing"
                if source.quotes
                else "correct it"
            )
            raise CorpusError(f"{file}, line {line}, begins a row that cannot be read ({error}): {mend}.") from None
        if row is None:
            return
        if row:
            yield line, row


def _lines(file, handle, counts) -> Iterator[str]:
    number = 0
    while raw := handle.readline(FIELD_BYTES):
        number += 1
        if len(raw) == FIELD_BYTES and not raw.endswith(b"\n"):
            raise CorpusError(f"{file}, line {number}, is longer than {FIELD_BYTES >> 20} MiB: divide or remove it.")
        line = text.decode_only(raw, counts)
        yield line.lstrip("\ufeff") if number == 1 else line


def _check_columns(file: str, columns: list[str], source: Source) -> None:
    known, kind = ", ".join(columns), f"{source.kind}[text=…]:{source.pattern}"
    if source.text not in columns:
        more = ""
        if len(columns) == 1 and source.kind == "csv":
            more = f", or another delimiter, as in {source.kind}[delimiter=;]"
        if source.header and len(columns) > 1:
            more = f", or {source.kind}[header=no,text=1] if the first row is text"
        raise CorpusError(f"{file} has no column '{source.text}': give {kind}, one of {known}{more}.")
    for column in (source.text, source.id, source.language_field):
        if columns.count(column) > 1:
            raise CorpusError(f"{file} has two columns '{column}': name another, as in {kind}, or rename one.")
