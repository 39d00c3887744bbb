"""Reads files of labelled texts or pairs of texts: TSV with a header, or JSON Lines."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence

from etils import epath

from bert_jax.configuration import setting
from bert_jax.errors import CorpusError, did_you_mean

# The default column names; the first one that a file has is used.
TEXT_COLUMNS, PAIR_COLUMNS = ("text", "sentence", "sentence1"), ("text2", "sentence2")
_MOVES = "the file may move; its content is compared by fingerprint"


@dataclasses.dataclass
class LabelledConfig:
    """Labelled texts, and how to make rows from them."""

    train: str = setting("", may_change=_MOVES)  # a .tsv file with a header, or a .jsonl file
    validation: str = setting("", may_change=_MOVES)  # the same form; the run is scored on it
    text_column: str = ""  # column of the text; empty: the first of text, sentence and sentence1
    pair_column: str = ""  # column of the second text; empty: text2 or sentence2, if there is one
    label_column: str = "label"  # column of the label
    tokenizer: str = ""  # folder or file of a vocabulary; empty: that of train.init_from
    sequence_length: int = 128  # S, tokens per row; longer texts are cut
    max_examples: int | None = None  # N, examples packed into a row; 1: no packing; none: S / 16
    prefetch: int = setting(2, may_change="waiting only")  # batches prepared ahead, in a thread

    @property
    def row_examples(self) -> int:
        """N."""
        return max(1, self.sequence_length // 16) if self.max_examples is None else self.max_examples

    def problems(self) -> list[str]:
        """Error messages about values that cannot work."""
        found = []
        for name in ("train", "validation"):
            path = getattr(self, name)
            if not path:
                found.append(f"data.{name} is empty: give a .tsv or .jsonl file of labelled texts.")
            elif not path.endswith((".tsv", ".jsonl")):
                found.append(f"data.{name}={path} must end in .tsv or .jsonl.")
        if not 8 <= self.sequence_length <= 1 << 16:
            found.append(f"data.sequence_length={self.sequence_length} must lie between 8 and {1 << 16}.")
        for name in ("max_examples", "prefetch"):
            if (value := getattr(self, name)) is not None and value < 1:
                found.append(f"data.{name}={value} must be at least 1.")
        return found


@dataclasses.dataclass(frozen=True)
class LabelledText:
    """One row of a file: text, second text or None, label, and its place in the file for error messages."""

    text: str
    pair: str | None
    label: str
    where: str


def read_labelled(path: epath.PathLike, config: LabelledConfig) -> list[LabelledText]:
    """Reads the rows of a file, in order.

    Quotes have no special meaning in TSV.

    Raises:
      CorpusError: the file is missing or has no rows, or a row cannot be read or lacks a column.
    """
    file = epath.Path(path)
    if not file.exists():
        raise CorpusError(f"There is no file {path}.")
    records = _jsonl(file) if file.name.endswith(".jsonl") else _tsv(file)
    found = [row for line, record in records for row in [_row(record, f"{path}, line {line}", config)]]
    if not found:
        raise CorpusError(f"{path} holds no labelled texts.")
    return found


def _lines(file: epath.Path) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not empty, with their numbers, counted from 1."""
    for number, content in enumerate(file.read_bytes().split(b"\n"), 1):
        try:
            text = content.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise CorpusError(f"{file}, line {number} is not UTF-8 ({error.reason}): convert the file.") from None
        if text.strip():
            yield number, text


def _tsv(file: epath.Path) -> Iterator[tuple[int, dict[str, str]]]:
    lines = _lines(file)
    _, header = next(lines, (0, ""))
    names = header.split("\t")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CorpusError(f"{file} has the column {twice[0]!r} twice: rename one of them.")
    for number, text in lines:
        values = text.split("\t")
        if len(values) != len(names):
            raise CorpusError(f"{file}, line {number} has {len(values)} columns, but the header has {len(names)}.")
        yield number, dict(zip(names, values, strict=True))


def _jsonl(file: epath.Path) -> Iterator[tuple[int, dict]]:
    for number, text in _lines(file):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{file}, line {number} is not JSON ({error}).") from None
        if not isinstance(record, dict):
            raise CorpusError(f"{file}, line {number} is not a JSON object.")
        yield number, record


def _row(record: dict, where: str, config: LabelledConfig) -> LabelledText:
    text = _value(record, where, "text_column", [config.text_column] if config.text_column else TEXT_COLUMNS)
    pairs = [config.pair_column] if config.pair_column else [name for name in PAIR_COLUMNS if name in record]
    pair = _value(record, where, "pair_column", pairs) if pairs else None
    # Blanks around a label are a slip, not another class.
    label = _value(record, where, "label_column", [config.label_column]).strip()
    if not label:
        raise CorpusError(f"{where} has an empty label.")
    return LabelledText(text, pair, label, where)


def _value(record: dict, where: str, field: str, names: Sequence[str]) -> str:
    """The value of the first of the named columns that a record has; numbers and booleans as in JSON, 1.0 as 1."""
    for name in names:
        if name in record:
            value = record[name]
            if isinstance(value, str):
                return value
            if isinstance(value, float) and not math.isfinite(value):
                raise CorpusError(f"{where}: {name!r} is {value}, no number: remove the row, or mend it.")
            if isinstance(value, float) and value.is_integer():
                value = int(value)  # 1 and 1.0 are one class
            if isinstance(value, bool | int | float):
                return json.dumps(value)
            raise CorpusError(f"{where}: {name!r} is neither text nor a number.")
    near = did_you_mean(names[0], record)
    raise CorpusError(
        f"{where} has no column {' or '.join(map(repr, names))}, only {', '.join(map(repr, record))}: name it by"
        f" data.{field}.{near}"
    )
