"""Sentences whose tokens have tags: on lines of their own, or as lists in a table."""

import itertools
import os
from collections.abc import Iterator

from etils import epath

from bert_jax.data.tables.columns import Columns, token_columns
from bert_jax.data.tables.record import Record
from bert_jax.data.tables.tables import find, problem_of, read_table, suffix
from bert_jax.data.tables.tfds import PREFIX
from bert_jax.data.tables.token_lines import find_layout, sentences
from bert_jax.errors import CorpusError, quoted

LINE_FORMS = (".conll", ".conllu", ".iob", ".iob1", ".iob2", ".bio", ".bioes", ".tsv", ".txt")
LIST_FORMS = (".jsonl", ".json", ".ndjson", ".parquet")
FORMS = (
    ".conll, .conllu, .iob2, .bio, .tsv or .txt (a token and its tag on each line), .jsonl or .parquet (lists),"
    " compressed as .gz or not, or tfds:NAME:SPLIT"
)


def read_tagged(
    path: epath.PathLike, token_column: str = "", tag_column: str = "", has_tags: bool = True
) -> Iterator[Record]:
    """Returns sentences, in order, as records of two lists of the same length: `tokens` and `tags`.

    They are read when they are asked for. The place of a sentence is the line of its first token. Empty lines separate
    sentences; comments (`# …` before a sentence), `-DOCSTART-`, and the ranges (`1-2`) and empty nodes (`1.1`) of
    CoNLL-U are no tokens. A tag that is a number stays one, as text, unless its file names the classes.

    Args:
      path: as in `read_table`. `.conll`, `.conllu`, `.iob2`, `.bio`, `.tsv` and `.txt` files have tokens on lines,
        `.jsonl` and `.parquet` files and data sets of TFDS have lists.
      token_column: the number of the column, counted from 1, or its name in a header, CoNLL-U or a table; empty: the
        first, FORM, or a guess (`columns.py`).
      tag_column: the same; empty: the last, UPOS, or a guess.
      has_tags: whether there must be tags; without, records may have no `tags`.

    Raises:
      CorpusError: as in `read_table`; lines differ in the number of columns, or tokens and tags in number.
    """
    return _sentences(_files(path), token_column, tag_column, has_tags)


def tagged_columns(
    path: epath.PathLike, token_column: str = "", tag_column: str = "", has_tags: bool = True
) -> Columns:
    """Returns which columns `read_tagged` takes. Arguments and errors are the same."""
    file = _files(path)[0]
    if _has_lists(file):
        return token_columns(next(read_table(file)), token_column, tag_column, has_tags)
    return find_layout(file, token_column, tag_column, has_tags).columns


def tagged_problem(name: str, path: str) -> list[str]:
    """Returns a message if a path tells no form that `read_tagged` reads, else an empty list. See `form_problem`."""
    return problem_of(name, path, (*LINE_FORMS, *LIST_FORMS), FORMS)


def _files(path: epath.PathLike) -> list[str]:
    path = os.fspath(path)
    if path.startswith(PREFIX):
        return [path]
    files = find(path)
    for file in files:
        if problems := tagged_problem("", file):
            raise CorpusError(problems[0])
    return files


def _has_lists(file: str) -> bool:
    return file.startswith(PREFIX) or suffix(file) in LIST_FORMS


def _sentences(files: list[str], token_column: str, tag_column: str, has_tags: bool) -> Iterator[Record]:
    expected: tuple[str, tuple[str, ...]] | None = None
    for file in files:
        if _has_lists(file):
            yield from _of_lists(read_table(file), token_column, tag_column, has_tags)
            continue
        layout = find_layout(file, token_column, tag_column, has_tags)
        other, names = expected = expected or (file, layout.names)
        if layout.names != names:
            raise CorpusError(
                f"{file} has the columns {', '.join(layout.names)}, but {other} has {', '.join(names)}: give them the"
                " same columns, or read them apart."
            )
        yield from sentences(file, layout)


def _of_lists(records: Iterator[Record], token_column: str, tag_column: str, has_tags: bool) -> Iterator[Record]:
    first = next(records)
    roles = token_columns(first, token_column, tag_column, has_tags).roles
    for record in itertools.chain([first], records):
        lists = {role: _list(record, column, role) for role, column in roles.items()}
        if len({len(values) for values in lists.values()}) > 1:
            counts = f"{len(lists['tokens'])} tokens, but {len(lists['tags'])} tags"
            raise CorpusError(f"{record.where} has {counts}: give each token one tag.")
        yield Record(lists, record.where)


def _list(record: Record, column: str, role: str) -> list[str]:
    values = record.values.get(column)
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        raise CorpusError(f"{record.where}: {quoted(column)} is no list of {role}: mend the row.")
    return list(map(str, values))
