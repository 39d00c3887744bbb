"""Questions with candidates, of which one is right, from tables of any form."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath

from bert_jax.data.labelled_files import LabelledConfig
from bert_jax.data.tables import Columns, Record, choice_columns, read_table, with_roles
from bert_jax.data.texts import EncodedTexts, encode, fair_lengths
from bert_jax.errors import CorpusError, quoted
from bert_jax.tokenization import Tokenizer

LEAST_TOKENS = 16  # a question with a candidate is not cut below


@dataclasses.dataclass
class ChoiceQuestionsConfig(LabelledConfig):
    """Questions with candidates. A row holds all candidates of a question, each of them with the question."""

    question_column: str = ""  # column of the question, or of the text to continue; empty: guessed, and told
    context_column: str = ""  # column of a text that stands before the question; empty: guessed; there may be none
    # column of the list of candidates, or their columns, separated by commas; empty: guessed
    candidates_column: str = ""
    # column of the right candidate: its number, its letter, or its text; empty: guessed
    answer_column: str = ""
    first_answer: int = 0  # the number of the first candidate, if answers are numbers
    longest_example: int = 128  # the most tokens of a question with one candidate; a longer one is cut

    def problems(self) -> list[str]:
        found = super().problems()
        if not LEAST_TOKENS <= self.longest_example <= self.sequence_length:
            found.append(
                f"data.longest_example={self.longest_example} must lie between {LEAST_TOKENS} and"
                f" data.sequence_length={self.sequence_length}."
            )
        return found

    def columns(self, first: Record, labelled: bool = True) -> Columns:
        """Returns which columns of a table hold what."""
        answer = self.answer_column if labelled else ""
        names = (self.question_column, self.context_column, self.candidates_column, answer)
        return choice_columns(first, *names, labelled)


@dataclasses.dataclass(frozen=True)
class ChoiceQuestion:
    """A question with candidates.

    Attributes:
      text: the question, after its context.
      candidates: one or more texts.
      answer: the place of the right one, from 0; None if it is not known.
      where: its place for error messages.
    """

    text: str
    candidates: tuple[str, ...]
    answer: int | None
    where: str


def read_choice_questions(
    path: epath.PathLike, config: ChoiceQuestionsConfig, lines: list[str], labelled: bool = True
) -> Iterator[ChoiceQuestion]:
    """Yields the questions of a table, in order.

    Args:
      path: see `tables.read_table`.
      config: names the columns.
      lines: which columns are read is appended to it.
      labelled: whether each question must have an answer.

    Raises:
      CorpusError: the file cannot be read, a text is empty, or an answer is none of the candidates.
    """
    for record, roles in with_roles(read_table(path), lambda first: config.columns(first, labelled), lines):
        text = " ".join(record.text(roles[role]) for role in ("context", "question") if role in roles)
        candidates, names = _candidates(record, roles["candidates"])
        answer = None
        if labelled:
            if len(candidates) < 2:
                raise CorpusError(f"{record.where} has a single candidate, so that nothing is chosen: give more.")
            answer = _answer(record, roles["answer"], candidates, names, config.first_answer)
        yield ChoiceQuestion(text, candidates, answer, record.where)


def _candidates(record: Record, columns: str) -> tuple[tuple[str, ...], list[str]]:
    """The candidates, and what a file calls them, if it names them."""
    names: list[str] = []
    values: Any
    if columns in record.values:
        values = record.values[columns]
        if isinstance(values, dict):  # ARC's form: {"text": [...], "label": ["A", ...]}
            labels = values.get("label")
            values, names = values.get("text"), list(map(str, labels)) if isinstance(labels, list) else []
    else:
        several = columns.split(",")
        # A question may have fewer candidates than there are columns.
        values, names = [record.values.get(name) for name in several], several
        while values and values[-1] in (None, ""):
            values.pop()
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        raise CorpusError(
            f"{record.where}: {quoted(columns)} holds a candidate that is empty or no text: mend the row."
        )
    if not values:
        raise CorpusError(f"{record.where}: {quoted(columns)} has no candidates: give some, or remove the row.")
    return tuple(values), names


def _answer(record: Record, column: str, candidates: Sequence[str], names: list[str], first: int) -> int:
    value = record.values.get(column)
    said = value.strip() if isinstance(value, str) else value
    if said in (None, ""):
        raise CorpusError(f"{record.where} has no answer ({quoted(column)} is empty): give one, or remove it.")
    places = {i for i, text in enumerate(candidates) if isinstance(said, str) and text.strip() == said}
    if isinstance(said, str) and said in names:
        places.add(names.index(said))
    elif isinstance(said, int) and not isinstance(said, bool):
        places.add(said - first)
    elif isinstance(said, str) and re.fullmatch(r"\d{1,4}", said):
        places.add(int(said) - first)
    elif isinstance(said, str) and re.fullmatch("[A-Za-z]", said):
        places.add(ord(said.upper()) - ord("A"))
    places &= set(range(len(candidates)))
    if len(places) == 1:
        return places.pop()
    what = "may be any of several candidates" if places else f"is none of the {len(candidates)} candidates"
    raise CorpusError(
        f"{record.where}: the answer {quoted(str(value))} {what}: give the number of the right one, counted from"
        f" {first} (data.first_answer)."
    )


def encode_choice_questions(
    questions: Sequence[ChoiceQuestion], tokenizer: Tokenizer, longest: int, row_length: int
) -> tuple[EncodedTexts, np.ndarray]:
    """Encodes each candidate with its question: `[CLS] question [SEP] candidate [SEP]`.

    Where the candidates of a question do not fit in a row together, the longest ones lose their ends.

    Args:
      questions: one or more.
      tokenizer: makes the tokens.
      longest: the most tokens in an example.
      row_length: the most tokens in all candidates of a question.

    Returns:
      The examples, and the question of each: int64 [examples].

    Raises:
      CorpusError: a question has so many candidates that hardly anything of each would be left.
    """
    pairs: list[tuple[str, str | None]] = [(one.text, text) for one in questions for text in one.candidates]
    counts = np.array([len(one.candidates) for one in questions])
    groups = np.repeat(np.arange(len(questions)), counts)
    texts = encode(pairs, tokenizer, longest)
    ends = np.cumsum(counts)
    limits = np.full(len(pairs), longest)
    for number in np.flatnonzero(np.add.reduceat(texts.segments.length, ends - counts) > row_length).tolist():
        inside = slice(ends[number] - counts[number], ends[number])
        lengths = texts.segments.length[inside]
        limits[inside] = kept = fair_lengths(lengths, row_length)
        if (least := kept[kept < lengths].min()) < LEAST_TOKENS:
            raise CorpusError(
                f"{questions[number].where} has {counts[number]} candidates, which leaves {least} tokens for each:"
                " raise data.sequence_length, which all of them share."
            )
    return (encode(pairs, tokenizer, limits) if (limits < longest).any() else texts), groups
