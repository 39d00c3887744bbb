"""Ends a run that stands still. A loader, a save or a collective that hangs would otherwise hold its machines."""

import contextlib
import faulthandler
import os
import sys
import threading
from typing import Any

import jax
from etils import epath

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the same command resumes
FILE = "hang.txt"
SECONDS = 1.0  # between looks
WRITING_SECONDS = 10.0  # for the file
# For the start, which compiles, and evaluations: they take as long as many steps.
PATIENT = 4.0


class Watchdog:
    """Ends the whole process, be it a notebook's, if it does the same thing for too long. A context manager.

    Args:
      seconds: the limit. None: there is none.
      folder: the stacks of all threads are written there, to `hang.txt`; of several processes, to `hang-N.txt`.
    """

    def __init__(self, seconds: float | None, folder: epath.Path):
        # Processes of one run hang together, and each writes what it was doing.
        name = FILE if jax.process_count() == 1 else f"hang-{jax.process_index()}.txt"
        self._seconds, self._file, self._written = seconds, folder / name, False
        self._what, self._left, self._limit = "", 0.0, 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self.doing("the start", PATIENT)
        if self._seconds is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def doing(self, what: str, patience: float = 1.0) -> None:
        """Says what the process begins to do, for the message, and how many times the limit it may take."""
        self._limit = self._left = patience * (self._seconds or 0.0)
        self._what = what

    def _watch(self) -> None:
        while not self._closed.wait(SECONDS):
            # Not by the clock: a process that was stopped for hours and goes on has not hung.
            self._left -= SECONDS
            if self._left <= 0:
                self._end()

    def _end(self) -> None:
        try:
            writing = threading.Thread(target=self._write, daemon=True)
            writing.start()
            writing.join(WRITING_SECONDS)
            where = f"{self._file} shows what each thread was doing"
            if not self._written:  # in a bucket, or the disk is what hangs
                faulthandler.dump_traceback(sys.stderr, all_threads=True)
                where = "above is what each thread was doing"
            print(
                f"error: {self._what} took longer than {self._limit:g} s: {where}. The same command resumes. If it was"
                " only slow, raise train.hang_seconds.",
                file=sys.stderr,
                flush=True,
            )
        finally:  # also where nobody reads stderr any more
            os._exit(EXIT_CODE)

    def _write(self) -> None:
        with contextlib.suppress(OSError), open(self._file, "w") as stacks:  # not atomic: it should do little
            print(f"{self._what} took longer than {self._limit:g} s", file=stacks, flush=True)
            faulthandler.dump_traceback(stacks, all_threads=True)
            self._written = True
