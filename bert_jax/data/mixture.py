"""Assigns rows to sources in fixed shares, window by window.

Arithmetic alone finds row g, for any g: in the first k windows of WINDOW rows, each source has exactly
floor(share * k * WINDOW) rows, and the source with the largest share the rest. The order within a window is random.
"""

import functools

import numpy as np

from bert_jax.data import draws
from bert_jax.data.draws import Purpose

WINDOW = 4096
MAX_SOURCES = 64  # the rounding of this many sources stays below the largest share of a window


class Mixture:
    """Assigns rows to sources.

    Args:
      shares: float64 [sources], summing to 1.
      stream: integers that identify the draws.
    """

    def __init__(self, shares: np.ndarray, stream: tuple[int, ...]):
        self._shares, self._stream = shares, stream
        self._window = functools.lru_cache(maxsize=4)(self._deal)

    def dealt(self, windows: int) -> np.ndarray:
        """The number of rows of each source in the first `windows` windows, int64 [sources]."""
        rows = np.floor(self._shares * windows * WINDOW).astype(np.int64)
        heaviest = int(self._shares.argmax())
        rows[heaviest] += windows * WINDOW - rows.sum()
        return rows

    def _deal(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        before, after = self.dealt(window), self.dealt(window + 1)
        in_order = np.repeat(np.arange(len(before)), after - before)
        source = in_order[draws.permutation(WINDOW, *self._stream, Purpose.SOURCE, window)]
        index = np.empty(WINDOW, np.int64)
        for s in range(len(before)):
            mine = np.flatnonzero(source == s)
            index[mine] = before[s] + np.arange(len(mine))
        return source, index

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finds the source of each row, and the index of the row within its source; both int64."""
        windows, within = np.divmod(rows, WINDOW)
        source, index = np.empty_like(rows), np.empty_like(rows)
        for window in np.unique(windows):
            mine = windows == window
            sources, indices = self._window(int(window))
            source[mine], index[mine] = sources[within[mine]], indices[within[mine]]
        return source, index

    def rows_until(self, row: int) -> np.ndarray:
        """The number of rows of each source among the first `row` rows, int64 [sources]."""
        windows, within = divmod(row, WINDOW)
        source, _ = self._window(windows)
        return self.dealt(windows) + np.bincount(source[:within], minlength=len(self._shares))
