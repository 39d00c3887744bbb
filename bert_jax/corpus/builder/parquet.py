"""Parquet files: their row groups, and the rows of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from etils import epath

from bert_jax.errors import CorpusError
from bert_jax.files.damage import readable

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

# How many rows are held in memory.
ROWS = 64


def row_groups(file: str) -> list[tuple[int, int]]:
    """Returns the number of rows and of bytes of each row group."""
    with readable(file), _open(file) as table:
        groups = [table.metadata.row_group(i) for i in range(table.metadata.num_row_groups)]
        return [(max(group.num_rows, 0), max(group.total_byte_size, 0)) for group in groups]


def check_columns(file: str, hints: dict[str, str]) -> None:
    """Checks that columns can be read: the first one must be there, and all hold text.

    Columns are named as in `doc.text`, if a column `doc` holds records with a field `text`.

    Args:
      file: is named in the error.
      hints: what to do if a column cannot be read, by column.

    Raises:
      CorpusError: a column is missing, is there twice, or holds something else.
    """
    with readable(file), _open(file) as table:
        schema = table.schema_arrow
    known = ", ".join(name for field in schema for name in _text_columns(field, field.name)) or "none"
    for i, (column, hint) in enumerate(hints.items()):
        place = _find(schema, column)
        if place is None:
            if i == 0:
                raise CorpusError(f"{file} has no column '{column}': {hint}; its columns of text: {known}.")
        elif schema.names.count(place[0].name) > 1:
            raise CorpusError(f"{file} has two columns '{place[0].name}': {hint}, or rename one.")
        elif not _is_text(place[-1].type):
            kind = place[-1].type
            raise CorpusError(
                f"{file}: the column '{column}' holds {kind}, not text: {hint}; its columns of text: {known}."
            )


def rows(file: str, group: int, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields the rows of a row group: the values of those columns that there are, text as bytes.

    Raises:
      CorpusError: the file is damaged.
    """
    with readable(file), _open(file) as table:
        places = {column: place for column in dict.fromkeys(columns) if (place := _find(table.schema_arrow, column))}
        needed = list(dict.fromkeys(place[0].name for place in places.values()))
        # The names would also select the fields of records.
        batches = table.iter_batches(ROWS, row_groups=[group], columns=needed)
        row = 0
        while True:
            with readable(file, f" after row {row} of row group {group}"):
                batch = next(batches, None)
                if batch is None:
                    return
                batch.validate()  # what a damaged page gives may crash later on
                values = {column: _values(batch, place) for column, place in places.items()}
            for i in range(batch.num_rows):
                yield {column: of_column[i] for column, of_column in values.items()}
            row += batch.num_rows


@contextlib.contextmanager
def _open(file: str) -> Iterator[pyarrow.parquet.ParquetFile]:
    import pyarrow.parquet  # needed for this kind only

    with epath.Path(file).open("rb") as handle:
        yield pyarrow.parquet.ParquetFile(handle, pre_buffer=False)


def _find(schema: pyarrow.Schema, column: str) -> list[pyarrow.Field] | None:
    """The field of a column, or the fields from a column to a field in its records; None if there is no such field."""
    if column in schema.names:
        return [schema.field(schema.names.index(column))]
    first, *rest = column.split(".")
    if first not in schema.names:
        return None
    place = [schema.field(schema.names.index(first))]
    for name in rest:
        inner = {field.name: field for field in place[-1].type} if _is_record(place[-1].type) else {}
        if name not in inner:
            return None
        place.append(inner[name])
    return place


def _text_columns(field: pyarrow.Field, name: str) -> Iterator[str]:
    if _is_text(field.type):
        yield name
    elif _is_record(field.type):
        for inner in field.type:
            yield from _text_columns(inner, f"{name}.{inner.name}")


def _is_record(kind: pyarrow.DataType) -> bool:
    import pyarrow

    return pyarrow.types.is_struct(kind)


def _is_text(kind: pyarrow.DataType) -> bool:
    import pyarrow

    if pyarrow.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return kind in (*_as_bytes(), *_as_bytes().values(), pyarrow.null())


def _as_bytes() -> dict[pyarrow.DataType, pyarrow.DataType]:
    import pyarrow

    return {
        pyarrow.string(): pyarrow.binary(),
        pyarrow.large_string(): pyarrow.large_binary(),
        pyarrow.string_view(): pyarrow.binary_view(),
    }


def _values(batch: pyarrow.RecordBatch, place: list[pyarrow.Field]) -> list:
    import pyarrow

    column = batch.column(place[0].name)
    for field in place[1:]:
        column = column.flatten()[column.type.get_field_index(field.name)]
    column = _bytes(column)
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):  # of times that Python's cannot hold
        return column.cast(pyarrow.string()).to_pylist()


def _bytes(column: pyarrow.Array) -> pyarrow.Array:
    """Text as bytes, because pyarrow raises on invalid UTF-8."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        return _bytes(column.dictionary).take(column.indices)
    return column.cast(_as_bytes().get(column.type, column.type))
