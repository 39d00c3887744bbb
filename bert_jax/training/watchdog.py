"""Ends a run that stands still. A loader, a save or a collective that hangs would otherwise hold its machines."""

import faulthandler
import os
import sys
import threading
from typing import Any

from etils import epath

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the same command resumes
FILE = "hang.txt"
SECONDS = 1.0  # between looks
# For the start, which compiles, and evaluations: they take as long as many steps.
PATIENT = 4.0


class Watchdog:
    """Ends the process if it does the same thing for too long. A context manager.

    Args:
      seconds: the limit. None: there is none.
      folder: the stacks of all threads are written there, to `hang.txt`.
    """

    def __init__(self, seconds: float | None, folder: epath.Path):
        self._seconds, self._folder = seconds, folder
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
        file = self._folder / FILE
        try:
            with open(file, "w") as stacks:  # not atomic: a hanging process should do little
                print(f"{self._what} took longer than {self._limit:g} s", file=stacks, flush=True)
                faulthandler.dump_traceback(stacks, all_threads=True)
            where = f"{file} shows what each thread was doing"
        except OSError:  # in a bucket, or on the disk that hangs
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
            where = "above is what each thread was doing"
        print(
            f"error: {self._what} took longer than {self._limit:g} s (train.hang_seconds): {where}. The same command"
            " resumes.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(EXIT_CODE)
