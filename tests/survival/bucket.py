"""A local folder that behaves like a bucket: slow, now and then unavailable, and late to list what was written.

It stands below `epath`, through which all files in buckets are read and written; TensorStore's own are not.
"""

import errno
import functools
import os
import random
import time
from collections.abc import Callable
from typing import Any

from etils.epath import backend

from bert_jax import storage
from bert_jax.corpus import buckets
from tests.survival.faults import save_time

UNAVAILABLE = "503 Service Unavailable"
CALLS = ("open", "exists", "isdir", "listdir", "glob", "makedirs", "mkdir", "rmtree", "remove", "copy", "stat")
CALLS += ("rename", "replace")


class Bucket:
    """Takes the place of the calls of `epath`'s local file system; a context manager.

    Args:
      folder: what is below it is in the bucket.
      seed: of what fails and what is slow.
      failures: the share of the calls that raise an error.
      slow: the share of the calls that take `SLOW` seconds.
      delay: for so many seconds, a new file is not listed, though it can be opened by its name.
    """

    SLOW = 0.02

    def __init__(
        self, folder: os.PathLike, seed: int = 0, failures: float = 0.0, slow: float = 0.0, delay: float = 0.0
    ):
        self.folder, self._rng = os.fspath(folder), random.Random(seed)
        self._failures, self._slow, self._delay = failures, slow, delay
        self._new: dict[str, float] = {}
        self.failed: list[str] = []

    def holds(self, path: os.PathLike) -> bool:
        """Whether a path is in the bucket."""
        text = os.fspath(path)
        return text == self.folder or text.startswith(self.folder + "/")

    def __enter__(self) -> "Bucket":
        self._before = {name: getattr(backend.os_backend, name) for name in CALLS}
        for name, call in self._before.items():
            setattr(backend.os_backend, name, functools.partial(self._call, name, call))
        self._is_remote = storage.is_remote
        storage.is_remote = buckets.is_remote = lambda path: self.holds(path) or self._is_remote(path)
        return self

    def __exit__(self, *_: Any) -> None:
        for name in CALLS:
            delattr(backend.os_backend, name)  # that of the class shows again
        storage.is_remote = buckets.is_remote = self._is_remote

    def _call(self, name: str, call: Callable, path: os.PathLike, *given: Any, **named: Any) -> Any:
        paths = [one for one in (path, *given) if isinstance(one, str | os.PathLike) and self.holds(one)]
        if not paths:
            return call(path, *given, **named)
        if self._rng.random() < self._slow:
            time.sleep(self.SLOW)
        if self._rng.random() < self._failures:
            self.failed.append(f"{name} {path}")
            raise OSError(errno.EIO, UNAVAILABLE, os.fspath(path))
        if name in ("open", "copy", "rename", "replace") and (name != "open" or set(given[0]) & set("wxa")):
            self._new[os.fspath(paths[-1])] = time.monotonic()
        found = call(path, *given, **named)
        if name in ("listdir", "glob"):
            return [one for one in found if self._is_listed(one if name == "glob" else f"{os.fspath(path)}/{one}")]
        return found

    def _is_listed(self, path: str) -> bool:
        return time.monotonic() - self._new.get(path, -self._delay) >= self._delay


def be(folder: str, *given: Any) -> None:
    """For the rest of this process, a folder is a bucket."""
    save_time()
    Bucket(folder, *given).__enter__()
