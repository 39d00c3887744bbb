"""Measurements that take turns: each in its own process, while the others are idle."""

import contextlib
import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from bert_jax.errors import BertJaxError


class FailedError(BertJaxError):
    """A mode cannot be measured on this machine."""


class Turns:
    """A process that takes a measurement on request.

    Attributes:
      make: makes, in the process and from `args`, the function that is measured; it returns a dict.
    """

    def __init__(self, make: Callable[..., Callable[[], dict]], *args: Any):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, args, other), daemon=True)
        self._process.start()
        other.close()

    def take(self) -> dict:
        """Takes one measurement: what the function returns, `seconds`, `processor` seconds and peak `memory`, bytes.

        Raises:
          FailedError: the function cannot be made on this machine, or the process died.
        """
        try:
            self._pipe.send(True)
            answer = self._pipe.recv()
        except (EOFError, OSError):
            raise FailedError("A measuring process died: see its output above.") from None
        if isinstance(answer, str):
            raise FailedError(answer)
        return answer

    def end(self) -> None:
        """Ends the process."""
        with contextlib.suppress(OSError):  # it may have died
            self._pipe.send(False)
        self._process.join()


def _serve(make: Callable, args: tuple, pipe: Connection) -> None:
    try:
        turn = make(*args)
        turn()  # compiles, and touches memory for the first time
    except ImportError:
        turn = "The peer is missing: pip install transformers torch."
    except Exception as error:  # any error, so that the other modes are still measured
        turn = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    while pipe.recv():
        if isinstance(turn, str):
            pipe.send(turn)
            continue
        start, processor = time.perf_counter(), time.process_time()
        result = turn()
        used = {"seconds": time.perf_counter() - start, "processor": time.process_time() - processor}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send(result | used | {"memory": memory})
