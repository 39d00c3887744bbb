"""Packs examples into rows by the histogram of their lengths.

This is shortest-pack-first histogram packing (Krell et al. 2021, arXiv 2107.02027) with best fit. The loop runs over
distinct lengths, not over examples, so that it takes the same time for a thousand examples and for a million. Each
example also has a number of predictions, and a row never gets more of them than it has room for.
"""

import collections

import numpy as np


def pack(
    lengths: np.ndarray,
    predictions: np.ndarray,
    order: np.ndarray,
    sequence_length: int,
    max_predictions: int,
    max_examples: int,
) -> np.ndarray:
    """Assigns examples to rows.

    Args:
      lengths: int64 [examples], each at most `sequence_length`.
      predictions: int64 [examples], each at most `max_predictions`; a function of the length.
      order: a permutation of the examples, the order among examples of equal length.
      sequence_length: S.
      max_predictions: K.
      max_examples: N.

    Returns:
      Indices of examples, int64 [rows, N], -1 in unused slots. Every example is in exactly one row.
    """
    by_length = order[np.argsort(-lengths[order], kind="stable")]
    values, firsts, counts = np.unique(-lengths[by_length], return_index=True, return_counts=True)
    # open_rows[free tokens][(free predictions, pattern)] = the number of such rows
    open_rows: dict[int, collections.Counter] = collections.defaultdict(collections.Counter)
    for value, first, count in zip((-values).tolist(), firsts.tolist(), counts.tolist(), strict=True):
        needed, left = int(predictions[by_length[first]]), count
        for free in range(value, sequence_length):
            for (free_predictions, pattern), rows in list(open_rows[free].items()):
                if free_predictions < needed or len(pattern) >= max_examples:
                    continue
                used = min(rows, left)
                open_rows[free][free_predictions, pattern] -= used
                if used == rows:
                    del open_rows[free][free_predictions, pattern]
                open_rows[free - value][free_predictions - needed, (*pattern, value)] += used
                left -= used
                if not left:
                    break
            if not left:
                break
        if left:
            open_rows[sequence_length - value][max_predictions - needed, (value,)] += left
    return _fill(open_rows, by_length, dict(zip((-values).tolist(), firsts.tolist(), strict=True)), max_examples)


def _fill(open_rows, by_length, next_of_length, max_examples) -> np.ndarray:
    patterns = [(pattern, n) for free in sorted(open_rows) for (_, pattern), n in open_rows[free].items() if n]
    rows = np.full((sum(n for _, n in patterns), max_examples), -1, np.int64)
    row = 0
    for pattern, n in patterns:
        for slot, value in enumerate(pattern):
            start = next_of_length[value]
            rows[row : row + n, slot] = by_length[start : start + n]
            next_of_length[value] = start + n
        row += n
    return rows
