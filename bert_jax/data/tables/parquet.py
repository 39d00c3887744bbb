"""Parquet files, row by row. Names of classes that Hugging Face `datasets` stored beside numbers are read."""

import datetime
import decimal
import json
from collections.abc import Iterator, Sequence
from typing import Any

from etils import epath

from bert_jax.data.tables.record import ROW_BYTES, Record, check_names, too_long
from bert_jax.errors import CorpusError, quoted
from bert_jax.files.damage import readable

ROWS = 64  # that are held in memory


def read_parquet(file: str) -> Iterator[Record]:
    """Yields the rows of a file: dates and decimals as text, classes by their names, the class -1 as None.

    Raises:
      CorpusError: the file is damaged, has a column twice, bytes that are not UTF-8, or a row that is too long.
    """
    import pyarrow.parquet  # needed for this form only

    with readable(file), epath.Path(file).open("rb") as handle:
        table = pyarrow.parquet.ParquetFile(handle, pre_buffer=False)
        check_names(file, table.schema_arrow.names)
        classes = _class_names(table.schema_arrow.metadata)
        row, batches = 0, table.iter_batches(ROWS)
        while True:
            with readable(file, f" after row {row}"):
                if (batch := next(batches, None)) is None:
                    return
                batch.validate()  # what a damaged page gives may crash later on
                if batch.nbytes > ROW_BYTES:
                    _check_size(batch, file, row)
                columns = {name: _values(batch.column(i)) for i, name in enumerate(batch.schema.names)}
            for i in range(batch.num_rows):
                row += 1
                where = f"{file}, row {row}"
                values = {name: plain(of_column[i], where, name) for name, of_column in columns.items()}
                for name in classes.keys() & values.keys():
                    values[name] = named(values[name], classes[name], where)
                yield Record(values, where)


def plain(value: Any, where: str, column: str) -> Any:
    """Returns a value as JSON has it.

    Raises:
      CorpusError: it holds bytes that are not UTF-8.
    """
    if isinstance(value, dict):
        return {name: plain(inner, where, column) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, where, column) for inner in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CorpusError(
                f"{where}: the column {quoted(column)} holds bytes that are not UTF-8: convert them, or remove the"
                " column."
            ) from None
    if isinstance(value, decimal.Decimal | datetime.date | datetime.time | datetime.timedelta):
        return str(value)
    return value


def named(value: Any, names: Sequence[str], where: str) -> Any:
    """Returns the name of a class, or those of a list; None for -1, as which data sets hide the labels of tests.

    Raises:
      CorpusError: there is no class of this number.
    """
    if isinstance(value, list):
        return [named(inner, names, where) for inner in value]
    if value is None or value == -1:
        return None
    if not isinstance(value, int):
        return value
    if not 0 <= value < len(names):
        raise CorpusError(f"{where} has the class {value}, but only {len(names)} classes have names: mend the row.")
    return names[value]


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of the classes of each column of classes, or of lists of them."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    found = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
            feature = feature["feature"]
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names"):
            found[column] = list(map(str, feature["names"]))
    return found


def _check_size(batch, file: str, row: int) -> None:
    for i in range(batch.num_rows):
        if batch.slice(i, 1).nbytes > ROW_BYTES:
            raise too_long(f"{file}, row {row + i + 1}", "divide or remove it")


def _values(column) -> list:
    """Text as bytes, because pyarrow raises on invalid UTF-8, and names neither row nor column."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    binary = {pyarrow.string(): pyarrow.binary(), pyarrow.large_string(): pyarrow.large_binary()}
    try:
        return column.cast(binary.get(column.type, column.type)).to_pylist()
    except (ValueError, OverflowError):  # of times that Python's cannot hold
        return column.cast(pyarrow.string()).to_pylist()
