"""One process at a time works in a folder, local or in a bucket: `with lock.hold(folder, what="a build"): …`.

Whoever wants the folder writes a claim, a small file with a name of its own, and then looks for other claims. Whoever
finds an older one withdraws. A claim is thus written by its owner alone, and removing a stale one never removes a live
one. This needs no more of a file system than that a file can be read as soon as it is written.

A claim is stale if its process has ended. For a process on this machine, that is looked up. Elsewhere, a process lives
if its heartbeat moves: it writes its claim again every `BEAT` seconds.
"""

import contextlib
import dataclasses
import datetime
import functools
import os
import pathlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psutil
from absl import logging
from etils import epath

from bert_jax import storage
from bert_jax.errors import DamagedFileError, LockError

# How often a claim is written again, in seconds.
BEAT = 10.0
# A claim on another machine is stale if its heartbeat stands still for this long, in seconds.
STALE = 120.0
# Or if it is this old, in seconds. Clocks differ, but hardly by an hour.
OLD = 3600.0
# For how long the older of two simultaneous claims waits until the younger one is withdrawn.
SETTLE = 30.0
# How often claims are looked at while waiting, in seconds.
POLL = 1.0
PREFIX = "lock-"


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process that claims a folder.

    Attributes:
      what: what it does there, for messages: "a build".
      host: the name of its machine.
      machine: tells apart machines, their restarts and containers of the same name.
      process: its id.
      started: when the process started, in seconds since 1970. Ids are used again.
      since: when it claimed the folder.
      beat: when it last wrote its claim.
    """

    what: str
    host: str
    machine: str
    process: int
    started: float
    since: float
    beat: float

    def __str__(self):
        since = datetime.datetime.fromtimestamp(self.since, datetime.UTC)
        return f"{self.what}, process {self.process} on {self.host} since {since:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def has_ended(self) -> bool | None:
        """Whether the process has ended; None if it runs on another machine."""
        if self.machine != _machine():
            return None
        try:
            process = psutil.Process(self.process)
            # The start is computed from the clock, which may have been corrected meanwhile.
            return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - self.started) > 5
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False  # it exists, but belongs to somebody else


@contextlib.contextmanager
def hold(
    folder: epath.PathLike, what: str, tell: Callable[[str], None] = logging.warning
) -> Iterator[Callable[[], None]]:
    """Holds a folder for this process while the body runs. The folder is created if it does not exist.

    In a run of several processes, only the first one should hold its folder.

    Args:
      folder: local or in a bucket.
      what: what this process does there, for the messages of others: "a build", "a run".
      tell: is called with a message if it takes time to find out whether an owner on another machine still lives.

    Yields:
      A function that raises LockError if the folder is no longer held, because it was moved or removed.

    Raises:
      LockError: another process holds the folder, or it cannot be written.
    """
    folder = epath.Path(folder)
    is_new = not folder.exists()
    now, process = time.time(), psutil.Process()
    owner = Owner(what, socket.gethostname(), _machine(), process.pid, process.create_time(), now, now)
    # Older claims sort first.
    file = folder / f"{PREFIX}{int(now * 1000):014d}-{secrets.token_hex(4)}.json"
    try:
        try:
            _claim(file, owner)
        except FileNotFoundError:  # another holder has just removed the folder that it had created
            _claim(file, owner)
    except OSError as error:
        _remove(file)
        raise LockError(f"{folder} cannot be written ({error.strerror or error}): choose another folder.") from None
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(file, owner, ended), daemon=True)
    heart.start()
    try:
        _wait_for_others(folder, file, tell)
        _remove_unfinished(folder)
        yield functools.partial(_check_held, file)
    finally:
        ended.set()
        heart.join()
        _remove(file)
        if is_new:
            with contextlib.suppress(OSError, ValueError):
                folder.rmdir()  # it raises if something is in it


def _check_held(file: epath.Path) -> None:
    if not file.exists():
        raise LockError(
            f"{file.parent} is no longer the folder in which {file.name} was written: if it was moved, run the same"
            " command with its new place, which resumes from the newest checkpoint."
        )


def is_claim(name: str) -> bool:
    """Whether this is the name of a file of this module."""
    return name.startswith(PREFIX) and ".json" in name


def remove_leftovers(folder: epath.Path) -> None:
    """Removes files that killed processes have left unfinished. Call this only while the folder, or one above, is held.

    Claims stay: they may be those of processes that live.
    """
    for path in list(folder.iterdir()) if folder.exists() else []:
        if storage.is_temporary(path.name) and not is_claim(path.name):
            path.unlink()


def _machine() -> str:
    """Processes with the same value see each other under the same ids."""
    name = socket.gethostname()
    with contextlib.suppress(OSError):  # elsewhere than on Linux, the name has to do
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{name} {boot} {os.readlink('/proc/self/ns/pid')}"
    return name


def _claim(file: epath.Path, owner: Owner) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, owner)


def _write(file: epath.Path, owner: Owner) -> None:
    storage.write_json(file, dataclasses.asdict(dataclasses.replace(owner, beat=time.time())))


def _remove(file: epath.Path) -> None:
    with contextlib.suppress(OSError):
        for path in (file, *file.parent.glob(f"{file.name}.*.partial")):
            path.unlink(missing_ok=True)


def _remove_unfinished(folder: epath.Path) -> None:
    """Removes claims that killed processes were writing for the first time. One that lives would write it again."""
    for path in folder.glob(f"{PREFIX}*.json.*.partial"):
        if not (folder / path.name.rsplit(".", 2)[0]).exists():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _beat(file: epath.Path, owner: Owner, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(Exception):  # of a full disk or a bucket that is away: the next beat may succeed
            _write(file, owner)


def _wait_for_others(folder: epath.Path, mine: epath.Path, tell: Callable[[str], None]) -> None:
    """Returns when there is no other claim; removes stale ones, and raises if another process holds the folder."""
    first_seen: dict[str, tuple[Owner | None, float]] = {}
    begin, told = time.monotonic(), False
    while others := _others(folder, mine, first_seen):
        waited = time.monotonic() - begin
        for file, other, lives in others:
            # A younger claim is about to be withdrawn, unless the clock of its machine is ahead.
            if lives and (file.name < mine.name or waited > SETTLE):
                raise LockError(_refusal(folder, file, other))
        if not told and any(lives is None for *_, lives in others):
            tell(f"{folder} was claimed by {others[0][1]}. Waiting up to {STALE:.0f} s to see whether that still runs.")
            told = True
        time.sleep(POLL)  # gcsfs keeps the listing of a folder until the next beat writes into it


def _others(folder, mine, first_seen) -> list[tuple[epath.Path, Owner | None, bool | None]]:
    """The other claims, oldest first, with whether their owners live (None: not known yet). Removes stale ones."""
    found = []
    for file in sorted(folder.glob(f"{PREFIX}*.json")):
        if file.name == mine.name:
            continue
        try:
            other = _read(file)
        except FileNotFoundError:
            continue  # withdrawn
        before, since = first_seen.setdefault(file.name, (other, time.monotonic()))
        has_ended = other.has_ended if other else None
        if has_ended is None and other != before:
            has_ended = False  # its heartbeat moved
        if has_ended is None and (time.monotonic() - since > STALE or (other and time.time() - other.beat > OLD)):
            has_ended = True
        if has_ended:
            _remove(file)
        else:
            found.append((file, other, None if has_ended is None else True))
    return found


def _read(file: epath.Path) -> Owner | None:
    """The owner; None if the file is damaged."""
    try:
        return Owner(**storage.read_json(file))
    except (DamagedFileError, TypeError):
        return None


def _refusal(folder: epath.Path, file: epath.Path, other: Owner | None) -> str:
    lapses = "" if other and other.machine == _machine() else f" (or delete {file}, if you know that it has ended)"
    return f"{folder} is in use by {other or file}: wait until that has ended{lapses}, or choose another folder."
