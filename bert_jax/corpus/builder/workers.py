"""A pool of processes that runs the stages of a build, and reports progress."""

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from multiprocessing import connection

from bert_jax.errors import CorpusError

SECONDS_BETWEEN_LINES = 5
# They end a build; the process that started the workers gets them.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class WorkerError(CorpusError):
    """A worker process died. The sources are not at fault, so finished work can be kept."""


class Workers:
    """A pool of processes. A context manager.

    It serves all stages of a build, because a process takes a second to start. If `count` is 1, the work is done in the
    calling process.
    """

    def __init__(self, count: int, progress: Callable[[str], None]):
        self._count, self._progress = count, progress
        self._pool: futures.ProcessPoolExecutor | None = None
        self._lifeline: connection.Connection | None = None

    def run(self, name: str, work: Callable, jobs: Sequence) -> None:
        """Calls `work` with every job, the largest first, so that the last ones are short.

        Args:
          name: of the stage, for progress messages.
          work: a module-level function, which a new process can import.
          jobs: each has a `size` in bytes.

        Raises:
          WorkerError: a worker died. Any error that `work` raises is raised, too.
        """
        start, last, done_bytes, total = time.monotonic(), 0.0, 0, max(sum(job.size for job in jobs), 1)
        for done, job in enumerate(self._results(work, sorted(jobs, key=lambda job: -job.size)), 1):
            done_bytes += job.size
            now = time.monotonic()
            if now - last > SECONDS_BETWEEN_LINES or done == len(jobs):
                rate = done_bytes / max(now - start, 1e-3)
                left = (total - done_bytes) / max(rate, 1)
                self._progress(f"{name}: {done}/{len(jobs)} parts, {rate / 1e6:.1f} MB/s, {left:.0f} s left")
                last = now

    def _results(self, work, jobs) -> Iterator:
        if self._count == 1:
            for job in jobs:
                work(job)
                yield job
            return
        if self._pool is None:
            # Spawned, because a fork of a process with JAX's or a notebook's threads can hang. An executor rather than
            # a `Pool`, because it raises if a worker dies.
            context = multiprocessing.get_context("spawn")
            theirs, self._lifeline = context.Pipe(duplex=False)
            self._pool = futures.ProcessPoolExecutor(self._count, context, _begin, (theirs,))
        with _no_interrupts():  # processes are started here, and would print a traceback each
            submitted = {self._pool.submit(work, job): job for job in jobs}
        try:
            for future in futures.as_completed(submitted):
                future.result()
                yield submitted[future]
        except futures.process.BrokenProcessPool as error:
            raise WorkerError(
                "A worker process died, perhaps because it ran out of memory: run the same command again, with fewer"
                " --num_workers (finished parts are kept)."
            ) from error

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if self._pool is not None and self._lifeline is not None:
            if error is not None:
                self._lifeline.close()  # a unit that is half done is of no use
            self._pool.shutdown(cancel_futures=True)
            self._lifeline.close()


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Delivers Ctrl-C and SIGTERM after the body. Processes that are started in the body never get them."""
    caught: list[int] = []
    # A new process inherits the mask, but another thread may still get the signal for this one: hence the handlers.
    handlers = {
        number: signal.signal(number, lambda number, _: caught.append(number))
        for number in SIGNALS
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is not None
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in caught:
            signal.raise_signal(number)


def _begin(lifeline: connection.Connection) -> None:
    # The caller handles them, and ends the workers.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # The workers use all processors, so the tokenizer needs no threads of its own.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Text makes millions of lists but hardly any cycles. At the default threshold, the search for them took 6% of the
    # time.
    gc.set_threshold(1 << 18)
    threading.Thread(target=_end_with_caller, args=(lifeline,), daemon=True).start()


def _end_with_caller(lifeline: connection.Connection) -> None:
    # Otherwise a worker whose caller was killed waits forever, or writes into the next build.
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()  # nothing is ever sent: it ends when the caller does, or closes its end
    os._exit(1)
