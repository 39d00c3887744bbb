"""A row of a table."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from bert_jax.errors import CorpusError, quoted

# A row must fit into memory; a longer one is no text to label, but a file of another form.
ROW_BYTES = 10 << 20


@dataclasses.dataclass(frozen=True)
class Record:
    """A row of a table.

    Attributes:
      values: by the names of the columns, in their order: text, numbers, true and false, None, lists and dictionaries
        of these. TSV and CSV have text only. Numbers from Parquet and TFDS may be NaN.
      where: its place for error messages, such as "train.tsv, line 7". Lines, rows and examples count from 1.
    """

    values: dict[str, Any]
    where: str

    def text(self, column: str) -> str:
        """Returns the text in a column.

        Raises:
          CorpusError: there is none, or it is empty.
        """
        value = self.values.get(column)
        if not isinstance(value, str) or not value.strip():
            problem = "is empty" if isinstance(value, str) else "is no text"
            raise CorpusError(f"{self.where}: {quoted(column)} {problem}: give a text, or remove the row.")
        return value


def check_names(file: str, names: Sequence[str]) -> None:
    """Checks the names of columns.

    Raises:
      CorpusError: one is there twice.
    """
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise CorpusError(f"{file} has the column {quoted(twice[0])} twice: rename one of them.")


def too_long(where: str, mend: str) -> CorpusError:
    """The error for a row over `ROW_BYTES`."""
    return CorpusError(f"{where} begins a row of more than {ROW_BYTES >> 20} MiB: {mend}.")
