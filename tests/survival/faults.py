"""What is done inside a process before a script begins; see `first` of `Scripts.run`."""

import itertools
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

# Events of `sys.addaudithook` that change a file system.
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree"}


def save_time() -> None:
    """Leaves out what takes seconds of each start and decides nothing: a measurement, and the curves of the report."""
    from bert_jax.reporting import report
    from bert_jax.training.planning import devices

    devices.matrix_peak = lambda dtype: 1e12
    report.draw_curves = lambda *_: None


def before_each_write(act: Callable[[int], Any]) -> None:
    """Calls `act` with the number of each change of a file system that Python makes, from 1 on, before it is made."""
    numbers, inside = itertools.count(1), []

    def note() -> None:
        if not inside:  # what `act` does is not counted
            inside.append(True)
            try:
                act(next(numbers))
            finally:
                inside.pop()

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = given
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if mode is None else set(mode) & set("wxa+")
            if writes and not str(path).startswith(("/dev/", "/proc/")):
                note()
        elif event in CHANGES:
            note()

    sys.addaudithook(hook)
    for name in ("write", "fsync", "copy_file_range", "sendfile"):
        setattr(os, name, _noted(getattr(os, name), note))


def _noted(function: Callable, note: Callable[[], None]) -> Callable:
    def noted(*given: Any, **named: Any) -> Any:
        note()
        return function(*given, **named)

    return noted


def count_writes(file: str) -> None:
    """Leaves the number of writes in a file."""

    def note(number: int) -> None:
        with open(file, "w") as counted:
            counted.write(str(number))

    save_time()
    before_each_write(note)


def kill_at_write(number: int) -> None:
    """Ends the process, as SIGKILL does, in place of a write."""
    save_time()
    before_each_write(lambda now: os.kill(os.getpid(), signal.SIGKILL) if now == number else None)


def limit_files(size: int) -> None:
    """No file becomes larger than this, in bytes."""
    save_time()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
