"""Prefetches batches in a background thread."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any


class Loader:
    """Iterates over `make(step)` for step = start, start + 1, …, stop - 1.

    Attributes:
      waited: total seconds that the consumer has waited for batches.
    """

    def __init__(self, make: Callable[[int], Any], start: int, stop: int, prefetch: int):
        self.waited = 0.0
        self._range = range(start, stop)
        self._ready: queue.Queue = queue.Queue(maxsize=prefetch)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._produce, args=(make,), name="loader", daemon=True)
        self._thread.start()

    def _produce(self, make) -> None:
        for step in self._range:
            try:
                item = (make(step), None)
            except BaseException as error:  # passed to the consumer, which raises it
                item = (None, error)
            while not self._closed.is_set():
                try:
                    self._ready.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if self._closed.is_set() or item[1] is not None:
                return

    def __iter__(self) -> Iterator[Any]:
        for _ in self._range:
            begin = time.perf_counter()
            batch, error = self._ready.get()
            self.waited += time.perf_counter() - begin
            if error is not None:
                raise error
            yield batch

    def close(self) -> None:
        """Stops the thread and drops the prefetched batches."""
        self._closed.set()
        self._thread.join()
