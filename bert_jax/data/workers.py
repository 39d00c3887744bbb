"""Processes that work through jobs, stage after stage, and the lines that say how far they are."""

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

from bert_jax.errors import CorpusError

SECONDS_BETWEEN_LINES = 5


class WorkerError(CorpusError):
    """A process that died, through no fault of the sources: what is finished can be kept."""


class Workers:
    """A pool that lives as long as a build, because a process takes a second to start; a context manager.

    One worker is the calling process itself.
    """

    def __init__(self, count: int, progress: Callable[[str], None]):
        self._count, self._progress, self._pool = count, progress, None

    def run(self, name: str, work: Callable, jobs: Sequence) -> None:
        """Calls `work` with every job, the largest first, which ends soonest.

        Args:
          name: of the stage, for the progress lines.
          work: a function of a module, which a new process can import.
          jobs: each has a `size` in bytes.

        Raises:
          WorkerError: a worker died. What `work` raises is raised here.
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
            # Fresh processes: a fork of one that holds JAX's or a notebook's threads can hang. An executor, not a
            # pool: it raises when a worker dies.
            context = multiprocessing.get_context("spawn")
            self._pool = futures.ProcessPoolExecutor(self._count, context, _begin)
        submitted = {self._pool.submit(work, job): job for job in jobs}
        try:
            for future in futures.as_completed(submitted):
                future.result()
                yield submitted[future]
        except futures.process.BrokenProcessPool as error:
            raise WorkerError(
                "A worker process died, perhaps for want of memory: run the same command again, with fewer"
                " --num_workers; finished parts are kept."
            ) from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _begin() -> None:
    # The caller answers Ctrl-C; and each worker is one of many, so that its libraries need no threads of their own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Text makes millions of lists and hardly a cycle: looking for cycles as often as usual took 6% of the time.
    gc.set_threshold(1 << 18)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker whose caller was killed would wait for its next job for ever, or write into the next build.
    multiprocessing.parent_process().join()
    os._exit(1)
