"""Questions with windows of their passages, and the answers that the scores of all windows give together."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """A question about a passage.

    Attributes:
      number: of the question, in its split.
      context: the passage.
      answers: the true answers; empty if there is none, or if they are not known.
    """

    number: int
    context: str
    answers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Window:
    """A part of a passage, in an example with its question.

    Attributes:
      asked: the question.
      first: the position in the example of the window's first token.
      offsets: int64 [tokens, 2], for each token of the window, its first character in the passage and the one after
        its last.
    """

    asked: Asked
    first: int
    offsets: np.ndarray

    def range(self, start: int, end: int) -> tuple[int, int]:
        """Returns the characters of the passage between two positions in the example, from `first` on; clipped."""
        last = len(self.offsets) - 1
        begin, after = (min(position - self.first, last) for position in (start, end))
        return (int(self.offsets[begin, 0]), int(self.offsets[after, 1])) if last >= 0 else (0, 0)

    def cut(self, start: int, end: int) -> str:
        """Returns the text between two positions."""
        return self.asked.context[slice(*self.range(start, end))]


class Candidate(NamedTuple):
    """A possible answer: `context[start:end]`, and the sum of its two logits."""

    text: str
    start: int
    end: int
    score: float


class Candidates(NamedTuple):
    """What all windows say of a question.

    Attributes:
      best: the best candidates first, each text once; empty if there is none.
      null: the score of "no answer": the lowest of all windows, as in SQuAD's script, because each other window may
        lack the answer that one window has.
    """

    best: tuple[Candidate, ...]
    null: float

    @property
    def text(self) -> str:
        """The best candidate's text; empty if there is none."""
        return self.best[0].text if self.best else ""

    @property
    def null_difference(self) -> float:
        """How much higher "no answer" scores than the best candidate."""
        return self.null - self.best[0].score if self.best else np.inf


class Decoded(NamedTuple):
    """What is known of the windows, one row for each; `spans.best_spans` makes it, on the device with axes [B, N].

    Attributes:
      starts, ends: int32 [windows, n], positions in the example; any if the score is not finite.
      scores: float32 [windows, n], descending.
      nulls: float32 [windows].
    """

    starts: Any
    ends: Any
    scores: Any
    nulls: Any


def join(windows: Sequence[Window], decoded: Decoded, count: int) -> Candidates:
    """Joins what the windows of one question say.

    Args:
      windows: of the question.
      decoded: the best spans of each.
      count: the most candidates to keep.
    """
    found: list[Candidate] = []
    for window, starts, ends, scores in zip(windows, decoded.starts, decoded.ends, decoded.scores, strict=True):
        for start, end, score in zip(starts.tolist(), ends.tolist(), scores.tolist(), strict=True):
            if score > -np.inf:
                text = window.cut(start, end)
                # Marks of spaces are tokens, too.
                found += [Candidate(text, *window.range(start, end), score)] if text.strip() else []
    found.sort(key=lambda one: (-one.score, one.start, one.end))
    unique = {one.text: one for one in reversed(found)}  # the last is kept: the best
    best = sorted(unique.values(), key=lambda one: (-one.score, one.start, one.end))[:count]
    return Candidates(tuple(best), float(decoded.nulls.min()))


def join_all(windows: Sequence[Window], decoded: Decoded, count: int) -> list[tuple[Asked, Candidates]]:
    """Joins the windows of each question, in the order of their numbers."""
    order = sorted(range(len(windows)), key=lambda i: windows[i].asked.number)
    result = []
    for _, group in itertools.groupby(order, key=lambda i: windows[i].asked.number):
        index = list(group)
        own = [windows[i] for i in index]
        result.append((own[0].asked, join(own, Decoded(*(values[index] for values in decoded)), count)))
    return result


def probabilities(scores: Iterable[float]) -> list[float]:
    """Returns the softmax of the scores of candidates: how probable each is among them."""
    values = np.array(list(scores), np.float64)
    if not len(values):
        return []
    shares = np.exp(values - values.max())
    return (shares / shares.sum()).tolist()
