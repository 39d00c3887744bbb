"""Tables of any form, read row by row: the form follows from the name."""

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator

from etils import epath

from bert_jax.data.tables.json_lines import read_json_lines
from bert_jax.data.tables.parquet import read_parquet
from bert_jax.data.tables.record import Record
from bert_jax.data.tables.separated import read_csv, read_text, read_tsv
from bert_jax.data.tables.tfds import PREFIX, read_data_set
from bert_jax.errors import CorpusError, quoted
from bert_jax.files import patterns

READERS: dict[str, Callable[[str], Iterator[Record]]] = {
    ".tsv": read_tsv,
    ".csv": read_csv,
    ".jsonl": read_json_lines,
    ".json": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
    ".txt": read_text,
}
WITH_HEADER = (".tsv", ".csv", ".parquet")
FORMS = ".tsv, .csv, .jsonl, .parquet, or .txt (a text on each line), compressed as .gz or not, or tfds:NAME:SPLIT"


def read_table(path: epath.PathLike) -> Iterator[Record]:
    """Returns the rows of a table, in order; they are read when they are asked for, a few at a time.

    Args:
      path: of a file, locally or in a bucket, or a pattern such as `data/*.tsv`, whose files are read in order of
        their names; or `tfds:NAME:SPLIT`, such as `tfds:glue/sst2:train`. Files are `.tsv`, `.csv`, `.jsonl`,
        `.parquet` or `.txt` (a column `text`, a text on each line), compressed by gzip, bzip2 or xz or not.

    Raises:
      CorpusError: there is no such file, its name tells no form, or, while it is read, it is empty or a row cannot be
        read.
    """
    path = os.fspath(path)
    if path.startswith(PREFIX):
        return _not_empty(read_data_set(path), path)
    files = find(path)
    for file in files:
        if problems := form_problem("", file):
            raise CorpusError(problems[0])
    return _same_columns([(file, _not_empty(READERS[suffix(file)](file), file)) for file in files])


def form_problem(name: str, path: str) -> list[str]:
    """Returns a message if a path tells no form that `read_table` reads, else an empty list.

    Args:
      name: of the field that holds the path, such as `data.train`; empty: the path alone is named.
      path: see `read_table`.
    """
    return problem_of(name, path, READERS, FORMS)


def problem_of(name: str, path: str, known: Collection[str], forms: str) -> list[str]:
    """Returns a message if a path tells none of the known suffixes, else an empty list."""
    ending = suffix(path)
    if path.startswith(PREFIX) or ending in known:
        return []
    given = f"{name}={path}" if name else path
    if ending in (".xlsx", ".xls", ".ods"):
        return [f"{given} is a spreadsheet: save it as CSV in UTF-8."]
    return [f"{given} has the ending {quoted(ending)}, which is none of {forms}: rename or convert it."]


def suffix(path: str) -> str:
    """The ending of a file's name, in lower case, without that of a compression."""
    return os.path.splitext(re.sub(r"\.(gz|bz2|xz)$", "", path.lower()))[1]


def find(path: str) -> list[str]:
    """Returns the files of a path or a pattern.

    Raises:
      CorpusError: there is none, or one is a folder or a pipe.
    """
    if not patterns.split(path)[1] and not epath.Path(path).expanduser().exists():
        raise CorpusError(f"There is no file {path}: check the path.")
    return [file for file, _ in patterns.files(path, path)]


def _not_empty(records: Iterator[Record], path: str) -> Iterator[Record]:
    first = next(records, None)
    if first is None:
        raise CorpusError(f"{path} has no rows, or a header alone: check the file.")
    yield from itertools.chain([first], records)


def _same_columns(files: list[tuple[str, Iterator[Record]]]) -> Iterator[Record]:
    """Rows of all files. Those with a header must name the same columns: a row could lack one without a word."""
    expected: tuple[str, set[str]] | None = None
    for file, records in files:
        is_first = suffix(file) in WITH_HEADER
        for record in records:
            if is_first:
                is_first, (other, names) = False, expected or (file, set(record.values))
                expected = other, names
                if different := sorted(names ^ set(record.values)):
                    raise CorpusError(
                        f"{file} and {other} have different columns ({', '.join(map(quoted, different))} is in one"
                        " only): give them the same header, or read them apart."
                    )
            yield record
