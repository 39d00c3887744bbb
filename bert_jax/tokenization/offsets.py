"""Where the pieces of a text come from: ranges of its characters."""

import unicodedata
from collections.abc import Sequence

import numpy as np


def tidy(text: str, ranges: Sequence[tuple[int, int]] | np.ndarray) -> np.ndarray:
    """Returns ranges that can be cut from a text: int64 [pieces, 2], the first character and the one after the last.

    White space at both ends of a range is left out. Marks that follow a range and that no piece holds, such as the
    accents that an uncased vocabulary drops, belong to the letter before them.

    Args:
      text: the text.
      ranges: of its pieces, in order.
    """
    found = np.array(ranges, np.int64).reshape(-1, 2)
    spaces = np.array([character.isspace() for character in text], bool)
    marks = np.array([unicodedata.category(character)[0] == "M" for character in text], bool)
    if not len(found) or not (spaces.any() or marks.any()):
        return found
    starts, ends = found.T.copy()
    starts = np.minimum(_next(~spaces)[starts], ends)
    ends = np.maximum(starts, _previous(~spaces)[ends])
    following = np.append(starts[1:], len(text))
    # A piece of white space alone has no letter that a mark could belong to.
    with_marks = np.minimum(_next(~marks)[ends], np.maximum(ends, following))
    return np.stack([starts, np.where(ends > starts, with_marks, ends)], axis=1)


def _next(kept: np.ndarray) -> np.ndarray:
    """For each place in a text, and its end, the first place from there on that is kept; else the end."""
    places = np.where(np.append(kept, True), np.arange(len(kept) + 1), len(kept))
    return np.minimum.accumulate(places[::-1])[::-1]


def _previous(kept: np.ndarray) -> np.ndarray:
    """For each place in a text, and its end, the place after the last kept one before it; else 0."""
    return np.maximum.accumulate(np.append(0, np.where(kept, np.arange(1, len(kept) + 1), 0)))
