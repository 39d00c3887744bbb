"""Measures the training speed."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

from bert_jax.training.placed import Work


@dataclasses.dataclass
class Meter:
    """Measures the training speed since the last reading.

    Attributes:
      waited: returns the total seconds spent waiting for batches.
      compiled: returns the total seconds spent on compilation.
      peak: floating-point operations per second that all devices together reach in matrix products.
    """

    waited: Callable[[], float]
    compiled: Callable[[], float]
    peak: float
    began: float = dataclasses.field(default_factory=time.perf_counter)
    tokens: int = 0
    flops: float = 0.0
    waited_before: float = 0.0

    def add(self, work: Work) -> None:
        """Adds the work of a step."""
        self.tokens += work.tokens
        self.flops += work.flops

    def read(self) -> dict[str, float]:
        """Returns the values to log and resets the meter."""
        seconds, waited = time.perf_counter() - self.began, self.waited()
        values = {
            "train/tokens_per_second": self.tokens / seconds,
            "train/flops_per_second": self.flops / seconds,
            "train/mfu": self.flops / seconds / self.peak,
            "train/data_wait": (waited - self.waited_before) / seconds,
            "train/seconds": seconds,
        }
        self.began, self.tokens, self.flops, self.waited_before = time.perf_counter(), 0, 0.0, waited
        return values

    def pause(self, seconds: float) -> None:
        """Excludes time that was not spent on training."""
        self.began += seconds

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Returns a context whose time does not count."""
        began = time.perf_counter()
        yield
        self.pause(time.perf_counter() - began)
