"""Atomic writing of files, and reading them back."""

import contextlib
import errno
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
from etils import epath

from bert_jax.errors import CheckpointError, DamagedFileError, WriteError, quoted
from bert_jax.forms import Form, problem

READ_BYTES = 1 << 22  # at a time, for arrays that are read in place


@contextlib.contextmanager
def writing(folder: epath.PathLike, needed: str = "") -> Iterator[None]:
    """Returns a context that writes files of a run into `folder`.

    Args:
      folder: of the files.
      needed: how much room is needed, for the message.

    Raises:
      WriteError: a file cannot be written, for example because the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(cannot_be_written(folder, error, needed)) from error


def cannot_be_written(folder: epath.PathLike, error: Exception, needed: str = "") -> str:
    """Returns a message for a run that cannot write its files.

    Args:
      folder: of the files.
      error: what was raised.
      needed: how much room is needed, if that is known.
    """
    text = str(error).split("\n")[0]
    full = os.strerror(errno.ENOSPC)  # libraries wrap it in long texts
    reason = full if full in text else getattr(error, "strerror", None) or text
    if reason == full and not is_remote(folder):
        with contextlib.suppress(OSError):
            reason += f", {shutil.disk_usage(folder).free / 1e6:,.1f} MB are free"
    reason += needed and f", {needed}"
    return (
        f"{folder} cannot be written ({reason}): make room or mend it, and run the same command again, which resumes"
        " from the newest checkpoint."
    )


def write_bytes(path: epath.PathLike, content: bytes) -> None:
    """Writes a file with this content, as `replacing` does."""
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: epath.PathLike) -> Iterator[IO[bytes]]:
    """Returns a context that yields a new file, which gets its name, or replaces the file of that name, at the end.

    A killed process leaves no incomplete file. The content is on disk before it has the name, so that not even a loss
    of power leaves one.
    """
    path = epath.Path(path)
    temporary = temporary_path(path)
    try:
        with create(temporary) as file:
            yield file
            if not is_remote(path):
                sync(file)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if not is_remote(path):
        _sync_folder(path.parent)


def is_remote(path: epath.PathLike) -> bool:
    """Whether a path is in a bucket, where files cannot be memory-mapped or renamed."""
    return "://" in os.fspath(path)


def temporary_path(path: epath.Path) -> epath.Path:
    """Returns a name beside `path` that nobody can foresee; `is_temporary` knows it."""
    return path.parent / f"{path.name[:200]}.{secrets.token_hex(8)}.partial"


def is_temporary(name: str) -> bool:
    """Whether this is the name of a file that a killed process has left unfinished."""
    return re.search(r"\.[0-9a-f]{16}\.partial$", name) is not None


def create(path: epath.Path) -> IO[bytes]:
    """Opens a new file for writing.

    Raises:
      FileExistsError: there is something of this name, be it a link that leads nowhere.
    """
    if is_remote(path):
        return path.open("wb")
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb")


def sync(file: IO[bytes]) -> None:
    """Waits until what was written to an open file is on disk."""
    file.flush()
    with contextlib.suppress(OSError, ValueError):  # some file systems cannot sync
        os.fsync(file.fileno())


def _sync_folder(folder: epath.Path) -> None:
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def check_inside(name: str, source: epath.PathLike) -> None:
    """Checks that a name which a file gave can only be that of a file below a folder.

    Raises:
      DamagedFileError: it could lead elsewhere.
    """
    parts = name.split("/")
    if "\\" in name or ":" in name or not name.isprintable() or {"", ".", ".."} & set(parts):
        raise DamagedFileError(f"{source} names {quoted(name)}, which is not a file inside: restore it from a copy.")


def write_array(path: epath.PathLike, array: np.ndarray) -> None:
    """Writes a `.npy` file, atomically."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_bytes(path, content.getvalue())


def write_json(path: epath.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, atomically. Equal values give equal bytes."""
    # What UTF-8 cannot hold, such as a byte of a file name that is not UTF-8, becomes an escape that JSON knows, too.
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def json_lines(values: Iterable[Any]) -> bytes:
    """Returns the content of a JSON Lines file: one value a line; what UTF-8 cannot hold as in `write_json`."""
    text = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    return text.encode("utf-8", "backslashreplace")


def read_json(path: epath.PathLike, form: Form = object) -> Any:
    """Reads a JSON file.

    Args:
      path: of the file.
      form: what it must hold, see `forms.py`.

    Raises:
      DamagedFileError: the file is not valid JSON, or not of this form.
    """
    try:
        value = json.loads(epath.Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged, it is not valid JSON ({error}): restore it from a copy.") from None
    if wrong := problem(value, form):
        raise DamagedFileError(f"{path} is damaged ({wrong}): restore it from a copy.")
    return value


def read_pieces(path: epath.PathLike, dtype: np.typing.DTypeLike, count: int) -> Iterator[np.ndarray]:
    """Yields the numbers of a raw file as arrays [n] of `dtype`, at most `count` at a time."""
    with epath.Path(path).open("rb") as file:
        while piece := file.read(count * np.dtype(dtype).itemsize):
            yield np.frombuffer(piece, dtype)


def read_into(file: IO[bytes], array: np.ndarray, path: epath.PathLike) -> None:
    """Fills a C-contiguous array with the bytes of an open file.

    Raises:
      CheckpointError: the file ends before.
    """
    view, done = memoryview(array.reshape(-1).view(np.uint8).data), 0
    while done < len(view):
        piece = file.read(min(len(view) - done, READ_BYTES))
        if not piece:
            raise CheckpointError(f"{path} is cut short: {len(view) - done:,} bytes are missing. Download it again.")
        view[done : done + len(piece)] = piece
        done += len(piece)
