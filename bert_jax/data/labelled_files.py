"""Labelled texts and pairs of texts, from tables of any form."""

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

from etils import epath

from bert_jax.configuration import setting
from bert_jax.data.tables import Columns, Record, form_problem, read_table, text_columns, with_roles
from bert_jax.errors import CorpusError, did_you_mean, quoted

_WITHOUT_WIDTH = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))
_MOVES = "the file may move; its content is compared by fingerprint"


@dataclasses.dataclass
class LabelledConfig:
    """Labelled examples, and how to make rows from them."""

    # a .tsv, .csv, .jsonl or .parquet file, a pattern of files, or tfds:NAME:SPLIT
    train: str = setting("", may_change=_MOVES)
    validation: str = setting("", may_change=_MOVES)  # the same form; the run is scored on it
    test: str = setting("", may_change=_MOVES)  # the same form; scored once, by the finished model
    # train on so many of the training examples, drawn by train.seed; labels keep their shares, and a smaller number
    # gives a part of a larger one; none: all
    num_train_examples: int | None = None
    # folder or file of a vocabulary; empty: that of train.init_from
    tokenizer: str = setting("", may_change="it may move; its content is compared by fingerprint", fixed=bool)
    sequence_length: int = 128  # S, tokens per row
    max_examples: int | None = None  # N, examples packed into a row; 1: no packing; none: S / 16
    prefetch: int = setting(2, may_change="waiting only")  # batches prepared ahead, in a thread

    @property
    def row_examples(self) -> int:
        """N."""
        return max(1, self.sequence_length // 16) if self.max_examples is None else self.max_examples

    def problems(self) -> list[str]:
        """Error messages about values that cannot work."""
        found = []
        for name in ("train", "validation", "test"):
            path = getattr(self, name)
            if path:
                found += self.form_problem(f"data.{name}", path)
            elif name != "test":
                found.append(f"data.{name} is empty: give a file of labelled examples.")
        if not 8 <= self.sequence_length <= 1 << 16:
            found.append(f"data.sequence_length={self.sequence_length} must lie between 8 and {1 << 16}.")
        for name in ("num_train_examples", "max_examples", "prefetch"):
            if (value := getattr(self, name)) is not None and value < 1:
                found.append(f"data.{name}={value} must be at least 1.")
        return found

    def form_problem(self, name: str, path: str) -> list[str]:
        """Returns a message if a path tells no form that can be read."""
        return form_problem(name, path)


@dataclasses.dataclass
class WindowedConfig(LabelledConfig):
    """Labelled examples that are read in overlapping windows if they are longer than a row."""

    # most tokens that two neighbouring windows share; none: S / 4
    window_overlap: int | None = None

    @property
    def overlap(self) -> int:
        """The most tokens that two neighbouring windows share."""
        return self.sequence_length // 4 if self.window_overlap is None else self.window_overlap

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 <= self.overlap <= self.sequence_length // 2:
            found.append(
                f"data.window_overlap={self.window_overlap} must lie between 0 and half of"
                f" data.sequence_length={self.sequence_length}."
            )
        return found


@dataclasses.dataclass
class LabelledTextsConfig(LabelledConfig):
    """Texts or pairs of texts with labels. Longer ones are cut."""

    text_column: str = ""  # column of the text; empty: guessed from the usual names, and told
    pair_column: str = ""  # column of the second text; empty: guessed; none if data.text_column is given
    label_column: str = ""  # column of the label; empty: guessed
    # column of a text that is put before the first one, such as the word whose meaning is asked for; empty: none
    context_column: str = ""
    skip_label: str = ""  # rows with this label are left out and counted, such as - for no agreement in SNLI

    def columns(self, first: Record, labelled: bool = True) -> Columns:
        """Returns which columns of a table hold what."""
        if self.context_column and self.context_column not in first.values:
            near = did_you_mean(self.context_column, first.values)
            raise CorpusError(
                f"{first.where} has no column {quoted(self.context_column)}: correct data.context_column.{near}"
            )
        return text_columns(first, self.text_column, self.pair_column, self.label_column if labelled else "", labelled)


@dataclasses.dataclass(frozen=True)
class LabelledText:
    """One row of a file.

    Attributes:
      text: the text.
      pair: the second text, or None.
      label: as it stands in the file, a name, a number or a list; None if it has none.
      where: its place for error messages.
    """

    text: str
    pair: str | None
    label: Any
    where: str


def read_labelled(
    path: epath.PathLike, config: LabelledTextsConfig, lines: list[str], labelled: bool = True
) -> Iterator[LabelledText]:
    """Yields the rows of a table, in order.

    Args:
      path: see `tables.read_table`.
      config: names the columns.
      lines: lines for the log are appended to it: which columns are read and, at the end, what was left out.
      labelled: whether labels are read; each row must have one, and texts that are not empty. Else all rows count, so
        that they and what is predicted have the same numbers.

    Raises:
      CorpusError: the file cannot be read, a row lacks a value, or a text is empty.
    """
    skipped = empty = 0
    for record, roles in with_roles(read_table(path), lambda first: config.columns(first, labelled), lines):
        label = record.values.get(roles["label"]) if labelled else None
        if labelled and config.skip_label and label_name(label) == config.skip_label:
            skipped += 1
            continue
        if labelled and (label is None or label == ""):
            raise CorpusError(
                f"{record.where} has no label ({quoted(roles['label'])} is empty): give one, or remove it."
            )
        text, *pair = (_text(record, roles[role], labelled) for role in ("text", "pair") if role in roles)
        if config.context_column:
            text = f"{_text(record, config.context_column, labelled)} {text}"
        empty += not all(map(_is_text, (text, *pair)))
        yield LabelledText(text, pair[0] if pair else None, label, record.where)
    if skipped:
        lines.append(f"left out     rows of {path} with the label {config.skip_label}: {skipped:,}")
    if empty:
        lines.append(f"empty        rows of {path} with an empty text, whose predictions mean nothing: {empty:,}")


def label_name(value: Any) -> str:
    """Returns the name of a label: blanks around it do not count, a number is as in JSON, and 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number(value: Any, where: str) -> float:
    """Returns a label as a number.

    Raises:
      CorpusError: it is none, or not finite.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not math.isfinite(found):
        raise CorpusError(f"{where}: the label {quoted(str(value))} is no number: correct it, or remove the row.")
    return found


def _is_text(value: str) -> bool:
    """Whether a text has more than blanks and characters without width."""
    return bool(value.translate(_WITHOUT_WIDTH).strip())


def _text(record: Record, column: str, needed: bool) -> str:
    value = record.values.get(column)
    if isinstance(value, bool | int | float):
        value = json.dumps(value)
    if not isinstance(value, str):
        raise CorpusError(f"{record.where}: {quoted(column)} is no text: mend the row, or remove it.")
    if needed and not _is_text(value):
        raise CorpusError(f"{record.where}: {quoted(column)} is empty: give a text, or remove the row.")
    return value
