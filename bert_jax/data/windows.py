"""Sentences of any length as overlapping windows of whole words, each word counting in one of them.

Documents become windows of whole sentences in the same way.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """The words `first` to `end` of a sentence, without `end`."""

    first: int
    end: int


def cover(lengths: np.ndarray, room: int, overlap: int) -> list[Window]:
    """Covers the words of a sentence by as many windows as are needed.

    Args:
      lengths: int64 [words], the tokens of each word, none more than `room`.
      room: the most tokens in a window.
      overlap: a window begins with the last words of the one before it that have at most so many tokens together, or
        with fewer if the next word would not fit.
    """
    before = np.cumsum([0, *lengths])  # the tokens before each word
    count, first = len(lengths), 0
    found: list[Window] = []
    while count:
        end = int(np.searchsorted(before, before[first] + room, "right")) - 1
        found.append(Window(first, end))
        if end == count:
            break
        first = int(np.searchsorted(before, max(before[end] - overlap, before[end + 1] - room)))
    return found


def keepers(windows: Sequence[Window], lengths: np.ndarray) -> np.ndarray:
    """Returns the window in which each word counts, int64 [words]: where it has most context on its poorer side.

    Context is counted in tokens, as in BERT's code for SQuAD (Devlin et al. 2018). Of equal windows it is the first.
    """
    before = np.cumsum([0, *lengths])
    most, kept = np.full(len(lengths), -1), np.zeros(len(lengths), np.int64)
    for i, (first, end) in enumerate(windows):
        words = np.arange(first, end)
        context = np.minimum(before[words] - before[first], before[end] - before[words + 1])
        better = words[context > most[words]]
        kept[better], most[better] = i, context[better - first]
    return kept
