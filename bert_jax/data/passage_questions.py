"""Questions about passages, with the answers that stand in them, from SQuAD's files and from tables."""

import collections
import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

from etils import epath

from bert_jax.data.labelled_files import LabelledConfig
from bert_jax.data.tables import Columns, Record, passage_columns, read_questions, with_roles
from bert_jax.data.tables.columns import plain
from bert_jax.errors import CorpusError, choice_problem, quoted
from bert_jax.objectives.answer_scores import CHARACTERS, WORDS

IDS, IMPOSSIBLE, STARTS = ("id", "qid", "questionid", "queryid"), ("isimpossible",), ("answerstart",)
FRAME = 3  # special tokens around a question and a part of its passage


@dataclasses.dataclass
class PassageQuestionsConfig(LabelledConfig):
    """Questions about passages. A passage that is longer than a row is divided into overlapping windows."""

    sequence_length: int = 384  # S, tokens per row: a question and a window of its passage
    question_column: str = ""  # column of the question, in a table; empty: guessed from the usual names, and told
    context_column: str = ""  # column of the passage; empty: guessed
    answers_column: str = ""  # column of the answers; empty: guessed
    stride: int | None = None  # tokens from one window to the next; none: half of the least room for the passage
    max_question_tokens: int = 64  # longer questions lose their ends; never more than half of a row
    max_answer_tokens: int = 30  # the longest answer that is given
    # what answers are made of when they are scored: words, as in SQuAD; characters, as for Chinese; empty: characters,
    # if most answers of the training file have letters of a script without spaces
    units: str = ""
    num_best: int = 5  # answers for each question in predictions.jsonl

    @property
    def question_room(self) -> int:
        """The most tokens of a question."""
        return min(self.max_question_tokens, self.sequence_length // 2)

    @property
    def least_room(self) -> int:
        """The fewest tokens of a passage in a full row."""
        return self.sequence_length - FRAME - self.question_room

    @property
    def window_stride(self) -> int:
        """Tokens from one window to the next."""
        return max(1, self.least_room // 2) if self.stride is None else self.stride

    def problems(self) -> list[str]:
        found = super().problems() + choice_problem("data.units", self.units, ("", WORDS, CHARACTERS))
        for name in ("max_question_tokens", "max_answer_tokens", "num_best"):
            if (value := getattr(self, name)) < 1:
                found.append(f"data.{name}={value} must be at least 1.")
        if self.stride is not None and not 1 <= self.stride <= self.least_room:
            found.append(
                f"data.stride={self.stride} must be 1 to {self.least_room}, the room beside the longest question: a"
                " larger stride would skip parts of passages."
            )
        return found


@dataclasses.dataclass(frozen=True)
class PassageQuestion:
    """A question about a passage.

    Attributes:
      id: as in the file; empty if there is none.
      question: the question.
      context: the passage.
      answers: the true answers, empty if the passage has none; None if they are not known.
      span: the characters of the passage that are learned, the first and the one after the last; None if there is no
        answer, or none of the answers can be found.
      where: its place for error messages.
    """

    id: str
    question: str
    context: str
    answers: tuple[str, ...] | None
    span: tuple[int, int] | None
    where: str


def read_passage_questions(
    path: epath.PathLike, config: PassageQuestionsConfig, lines: list[str], labelled: bool = True
) -> Iterator[PassageQuestion]:
    """Yields the questions of a file, in order.

    An answer whose stated place holds another text is looked for: it is learned if it occurs once. Of several answers
    the most frequent is learned, the first of equals. All of them count when predictions are scored.

    Args:
      path: see `tables.read_questions`.
      config: names the columns.
      lines: lines for the log are appended to it: which columns are read and, at the end, what is wrong with answers.
      labelled: whether answers are read.

    Raises:
      CorpusError: the file cannot be read, or a row lacks a question, a passage or answers.
    """

    def find(first: Record) -> Columns:
        return passage_columns(first, config.question_column, config.context_column, config.answers_column, labelled)

    told = Oddities()
    for record, roles in with_roles(read_questions(path), find, lines):
        question, context = (record.text(roles[role]) for role in ("question", "context"))
        answers, span = None, None
        if labelled:
            answers, span = _labels(record, roles["answers"], context, told)
        id_ = _named(record, IDS)
        yield PassageQuestion("" if id_ is None else str(id_), question, context, answers, span, record.where)
    lines += told.lines(path)


@dataclasses.dataclass
class Oddities:
    """What is odd about the answers of a file, counted; each kind with its first place."""

    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    first: dict[str, str] = dataclasses.field(default_factory=dict)

    def note(self, kind: str, where: str) -> None:
        """Counts one."""
        self.counts[kind] += 1
        self.first.setdefault(kind, where)

    def lines(self, path: epath.PathLike) -> list[str]:
        """Returns lines for the log."""
        found, count = [], self.counts
        total, without = count["questions"], count["without"]
        if without:
            found.append(
                f"no answer    {without:,} of the {total:,} questions in {path} ({100 * without / total:.1f} %)"
            )
        for kind, what in (("misplaced", "that are not where it says"), ("unplaced", "that have no place in it")):
            if count[kind]:
                found.append(
                    f"{kind:<12} answers in {path} {what}: {count[kind]:,}, the first in {self.first[kind]};"
                    f" {count[kind + ', found']:,} of them can be learned, because they occur once in the passage"
                )
        if count["empty"]:
            found.append(
                f"empty        answers in {path} that are empty and do not count: {count['empty']:,}, the first in"
                f" {self.first['empty']}"
            )
        if count["both"]:
            found.append(
                f"impossible   questions in {path} that have answers, but is_impossible, which decides:"
                f" {count['both']:,}, the first in {self.first['both']}"
            )
        return found


def _labels(
    record: Record, column: str, context: str, told: Oddities
) -> tuple[tuple[str, ...], tuple[int, int] | None]:
    """The true answers, and the characters of the one that is learned."""
    impossible = _named(record, IMPOSSIBLE)
    value = record.values.get(column)
    if value is None and not impossible:
        raise CorpusError(
            f"{record.where} has no answers ({quoted(column)} is missing): give a list, which is empty if the passage"
            " has no answer."
        )
    told.note("questions", record.where)
    pairs = _pairs(value, _named(record, STARTS), record.where)
    for text, _ in pairs:
        if not text.strip():
            told.note("empty", record.where)
    pairs = [(text, start) for text, start in pairs if text.strip()]
    if impossible and pairs:
        told.note("both", record.where)
        pairs = []
    if not pairs:
        told.note("without", record.where)
        return (), None
    places: collections.Counter[tuple[int, int]] = collections.Counter()
    for text, start in pairs:
        if start is None or start < 0 or not context.startswith(text, start):
            kind = "unplaced" if start is None else "misplaced"
            told.note(kind, f"{record.where}: {quoted(text)}")
            start = _only_place(text, context)
            if start is None:
                continue
            told.note(f"{kind}, found", record.where)
        places[start, start + len(text)] += 1
    # Of equal counts, `most_common` gives the first.
    return tuple(text for text, _ in pairs), places.most_common(1)[0][0] if places else None


def _only_place(text: str, context: str) -> int | None:
    """Where a text stands, if it occurs once."""
    place = context.find(text)
    return place if place >= 0 and context.find(text, place + 1) < 0 else None


def _pairs(value: Any, start: Any, where: str) -> list[tuple[str, int | None]]:
    """The texts of answers and where they are said to begin, from any of the usual forms."""
    if value is None:
        return []
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        texts, starts = value["text"], value.get("answer_start")
        starts = starts if isinstance(starts, list) and len(starts) == len(texts) else [None] * len(texts)
        return [pair for text, one in zip(texts, starts, strict=True) for pair in _pairs(text, one, where)]
    if isinstance(value, dict) and "text" in value:
        return _pairs(value["text"], value.get("answer_start"), where)
    if isinstance(value, list):
        starts = start if isinstance(start, list) and len(start) == len(value) else [None] * len(value)
        return [pair for one, place in zip(value, starts, strict=True) for pair in _pairs(one, place, where)]
    if isinstance(value, int | float):
        value = json.dumps(value)
    if not isinstance(value, str):
        raise CorpusError(f'{where} has answers of an unknown form: write them as [{{"text": …, "answer_start": …}}].')
    return [(value, _place(start))]


def _place(start: Any) -> int | None:
    try:
        return int(start)
    except (TypeError, ValueError, OverflowError):
        return None


def _named(record: Record, names: Sequence[str]) -> Any:
    """The first value whose column has one of these names; None if there is none."""
    return next((value for name, value in record.values.items() if plain(name) in names), None)
