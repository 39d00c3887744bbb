"""TSV, where quotes mean nothing, CSV as RFC 4180 has it, and plain text.

https://www.rfc-editor.org/rfc/rfc4180. Columns may also be separated by semicolons, as spreadsheets write them in
countries with decimal commas, or by tabs.
"""

import csv
from collections.abc import Iterator

from bert_jax.data.tables.lines import lines
from bert_jax.data.tables.record import ROW_BYTES, Record, check_names, too_long
from bert_jax.errors import CorpusError

DELIMITERS = (",", ";", "\t")  # of a CSV file: the first that its header has


def read_text(file: str) -> Iterator[Record]:
    """Yields a record with a column `text` for each line, empty ones included."""
    for number, text in lines(file):
        yield Record({"text": text}, f"{file}, line {number}")


def read_tsv(file: str) -> Iterator[Record]:
    """Yields the rows of a file whose first line names its columns.

    Empty lines are skipped, but in a file with one column, where they are empty texts.

    Raises:
      CorpusError: a row has more or fewer columns than the header, or a line cannot be read.
    """
    yield from _records(file, ((number, text.split("\t")) for number, text in lines(file)))


def read_csv(file: str) -> Iterator[Record]:
    """Yields the rows of a file whose first row names its columns. Line ends in quotes become LF.

    Errors, and what becomes of empty lines, are as in `read_tsv`; a quote that is not closed is an error, too.
    """
    yield from _records(file, _csv_rows(file))


def _records(file: str, rows: Iterator[tuple[int, list[str]]]) -> Iterator[Record]:
    names: list[str] = []
    for number, values in rows:
        is_empty = len(values) < 2 and not "".join(values).strip(" ")
        if not names:
            names = [] if is_empty else [name.strip() for name in values]
            check_names(file, names)
            continue
        if is_empty and len(names) > 1:
            continue
        if is_empty:
            values = ["".join(values)]
        if len(values) != len(names):
            found = f"{len(values)} column{'s' if len(values) > 1 else ''}, but the header has {len(names)}"
            raise CorpusError(f"{file}, line {number} has {found}: {_mend(file, values)}.")
        yield Record(dict(zip(names, values, strict=True)), f"{file}, line {number}")


def _mend(file: str, values: list[str]) -> str:
    if ".csv" in file.rpartition("/")[2]:
        return "correct the row, or put quotes around values that hold the separator"
    if any(value.startswith('"') or value.endswith('"') for value in values):
        return "quotes mean nothing in a .tsv file; if they should, name it .csv, which may have tabs, too"
    return "correct the row; a value cannot hold a tab or a line end"


def _csv_rows(file: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows, each with the number of its first line; an empty line is an empty list."""
    csv.field_size_limit(max(csv.field_size_limit(), ROW_BYTES))
    header = next((text for _, text in lines(file) if text.strip(" ")), "")
    outside_quotes = "".join(header.split('"')[::2])
    begins, size = 1, 0

    def counted() -> Iterator[str]:
        nonlocal size
        for _, text in lines(file):
            # A quote that is not closed would take in the rest of the file.
            if (size := size + len(text)) > ROW_BYTES:
                raise too_long(f"{file}, line {begins}", "close its quotes, divide or remove it")
            yield f"{text}\n"

    delimiter = next((mark for mark in DELIMITERS if mark in outside_quotes), ",")
    reader = csv.reader(counted(), delimiter=delimiter, strict=True)
    while True:
        begins, size = reader.line_num + 1, 0
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise CorpusError(
                f"{file}, line {begins} begins a row that cannot be read ({error}): put a value with quotes or line"
                ' ends into quotes, and double the quotes in it, as in "the ""end""".'
            ) from None
        if row is None:
            return
        yield begins, row
