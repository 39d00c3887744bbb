"""Questions with overlapping windows of their passages, as examples `[CLS] question [SEP] window [SEP]`."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bert_jax.data import draws
from bert_jax.data.draws import Purpose
from bert_jax.data.examples import Segments
from bert_jax.data.passage_questions import FRAME
from bert_jax.data.texts import EncodedTexts
from bert_jax.objectives.answer_windows import Asked, Window
from bert_jax.tokenization import Tokenizer


@dataclasses.dataclass(frozen=True)
class QuestionWindows:
    """Examples: the windows of each question, in order.

    Attributes:
      texts: the examples.
      windows: what each of them is.
      begins: int64 [examples], the token of the passage with which each window begins.
      offsets: for each question, the characters of its passage's tokens: int64 [tokens, 2].
      num_cut: the number of questions that lost their ends.
    """

    texts: EncodedTexts
    windows: list[Window]
    begins: np.ndarray
    offsets: list[np.ndarray]
    num_cut: int

    @property
    def firsts(self) -> np.ndarray:
        """int32 [examples], the position in each example of the first token of its window."""
        return np.array([window.first for window in self.windows], np.int32)


def window_begins(count: int, room: int, stride: int) -> np.ndarray:
    """Returns the first token of each window, int64 [windows]: every token is in at least one window.

    Args:
      count: tokens of the passage; without any, there is one window, which is empty.
      room: tokens in a window, at least 1.
      stride: tokens from one window to the next; a stride above `room` would skip tokens, so `room` takes its place.
    """
    stride = max(1, min(stride, room))
    return np.arange(1 + max(0, -(-(count - room) // stride))) * stride


def cut_questions(
    asked: Sequence[Asked],
    questions: Sequence[str],
    tokenizer: Tokenizer,
    longest: int,
    question_room: int,
    stride: int,
) -> QuestionWindows:
    """Makes windows of passages, each with its question.

    Args:
      asked: the passages; equal ones are encoded once.
      questions: the question about each.
      tokenizer: makes the tokens; its `separators_between` decides the form of a pair.
      longest: tokens of an example, at most, with special tokens.
      question_room: tokens of a question, at most; longer ones lose their ends.
      stride: see `window_begins`.
    """
    separators = tokenizer.separators_between
    encoded = {context: tokenizer.encode_with_offsets(context) for context in {one.context: None for one in asked}}
    frame = FRAME + separators - 1
    question_room = min(question_room, longest - frame - 1)
    ids = tokenizer.encode_batch(questions)
    parts: list[Sequence[int]] = []
    segments: list[tuple[int, int, int, int]] = []
    windows, begins, offsets = [], [], []
    places: dict[str, int] = {}  # of each passage among all tokens
    total = 0

    def add(part: Sequence[int]) -> int:
        nonlocal total
        parts.append(part)
        total += len(part)
        return total - len(part)

    for one, question in zip(asked, ids, strict=True):
        question = question[:question_room]
        context, ranges = encoded[one.context]
        offsets.append(ranges)
        room, first = longest - frame - len(question), 1 + len(question) + separators
        question_at = add(question) if separators == 1 else 0
        if separators == 1 and one.context not in places:
            places[one.context] = add(context)
        for begin in window_begins(len(context), room, stride).tolist():
            own = context[begin : begin + room]
            if separators == 1:
                segments.append((question_at, len(question), places[one.context] + begin, len(own)))
            else:
                # A pair of one type is one segment.
                joined = [*question, *[tokenizer.sep_id] * separators, *own]
                segments.append((add(joined), len(joined), 0, 0))
            windows.append(Window(one, first, ranges[begin : begin + room]))
            begins.append(begin)
    key = draws.bits64(Purpose.LABELLED, np.arange(len(windows))).astype(np.uint32)
    a_start, a_length, b_start, b_length = np.array(segments, np.int64).reshape(-1, 4).T
    flat = np.concatenate([np.array(part, np.int32) for part in parts] or [np.zeros(0, np.int32)])
    examples = Segments(a_start, a_length, b_start, b_length, key)
    texts = EncodedTexts(flat if len(flat) else np.zeros(1, np.int32), examples, 0)
    num_cut = sum(len(question) > question_room for question in ids)
    return QuestionWindows(texts, windows, np.array(begins, np.int64), offsets, num_cut)


def tokens_of(span: tuple[int, int], offsets: np.ndarray) -> tuple[int, int] | None:
    """Returns the first and the last token that hold a character of a span; None if none does.

    Args:
      span: the first character and the one after the last.
      offsets: int64 [tokens, 2], the characters of the tokens.
    """
    inside = np.flatnonzero((offsets[:, 0] < span[1]) & (offsets[:, 1] > span[0]) & (offsets[:, 0] < offsets[:, 1]))
    return (int(inside[0]), int(inside[-1])) if len(inside) else None
