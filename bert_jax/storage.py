"""Atomic writing of files, and reading them back."""

import contextlib
import errno
import io
import json
import os
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
from etils import epath

from bert_jax.errors import CheckpointError, DamagedFileError, WriteError

READ_BYTES = 1 << 22  # at a time, for arrays that are read in place


@contextlib.contextmanager
def writing(folder: epath.PathLike) -> Iterator[None]:
    """Returns a context that writes files of a run into `folder`.

    Raises:
      WriteError: a file cannot be written, for example because the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(cannot_be_written(folder, error)) from error


def cannot_be_written(folder: epath.PathLike, error: Exception) -> str:
    """Returns a message for a run that cannot write its files."""
    text = str(error).split("\n")[0]
    full = os.strerror(errno.ENOSPC)  # libraries wrap it in long texts
    reason = full if full in text else getattr(error, "strerror", None) or text
    return (
        f"{folder} cannot be written ({reason}): make room or mend it, and run the same command again, which resumes"
        " from the newest checkpoint."
    )


def write_bytes(path: epath.PathLike, content: bytes) -> None:
    """Writes a file under a temporary name, then renames it: a killed process leaves no incomplete file."""
    path = epath.Path(path)
    temporary = path.parent / f"{path.name}.partial"
    temporary.write_bytes(content)
    temporary.replace(path)


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


def read_json(path: epath.PathLike) -> Any:
    """Reads a JSON file.

    Raises:
      DamagedFileError: the file is not valid JSON.
    """
    try:
        return json.loads(epath.Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged, it is not valid JSON ({error}): restore it from a copy.") from None


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
