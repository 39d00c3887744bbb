"""Assigns rows to sources in fixed shares, window by window.

Arithmetic alone finds row g, for any g: in the first k windows of W rows, each source has exactly floor(share * k * W)
rows, and the source with the largest share the rest. The order within a window is random.
"""

import functools

import numpy as np

from bert_jax.data import draws
from bert_jax.data.draws import Purpose

WINDOW = 4096  # W, unless many sources need longer windows


def window_length(shares: np.ndarray) -> int:
    """W: a power of two, so large that rounding the other sources' shares never takes all rows of the largest one."""
    needed = (np.count_nonzero(shares) - 1) / shares.max()
    return max(WINDOW, 1 << int(np.ceil(np.log2(max(needed, 1)))))


class Mixture:
    """Assigns rows to sources.

    Args:
      shares: float64 [sources], summing to 1.
      stream: integers that identify the draws.
    """

    def __init__(self, shares: np.ndarray, stream: tuple[int, ...]):
        self._shares, self._stream = shares, stream
        self.window = window_length(shares)
        self._dealt_window = functools.lru_cache(maxsize=4)(self._deal)

    def dealt(self, windows: int) -> np.ndarray:
        """The number of rows of each source in the first `windows` windows, int64 [sources]."""
        rows = np.floor(self._shares * windows * self.window).astype(np.int64)
        heaviest = int(self._shares.argmax())
        rows[heaviest] += windows * self.window - rows.sum()
        return rows

    def _deal(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        before, after = self.dealt(window), self.dealt(window + 1)
        in_order = np.repeat(np.arange(len(before)), after - before)
        source = in_order[draws.permutation(self.window, *self._stream, Purpose.SOURCE, window)]
        index = np.empty(self.window, np.int64)
        # The rows of a source come in their order, after those that it was dealt before.
        first = before - np.cumsum(after - before) + (after - before)
        index[np.argsort(source, kind="stable")] = first[in_order] + np.arange(self.window)
        return source, index

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finds the source of each row, and the index of the row within its source; both int64."""
        windows, within = np.divmod(rows, self.window)
        source, index = np.empty_like(rows), np.empty_like(rows)
        for window in np.unique(windows):
            mine = windows == window
            sources, indices = self._dealt_window(int(window))
            source[mine], index[mine] = sources[within[mine]], indices[within[mine]]
        return source, index

    def rows_until(self, row: int) -> np.ndarray:
        """The number of rows of each source among the first `row` rows, int64 [sources]."""
        windows, within = divmod(row, self.window)
        source, _ = self._dealt_window(windows)
        return self.dealt(windows) + np.bincount(source[:within], minlength=len(self._shares))
