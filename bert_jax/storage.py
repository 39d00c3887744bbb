"""Files that are either whole or absent, and their fingerprints."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from etils import epath

from bert_jax.errors import DamagedFileError

_known_hashes: dict[tuple[str, int, int], str] = {}


def write_bytes(path: epath.PathLike, content: bytes) -> None:
    """Writes a file under a temporary name and renames it, so that a killed process leaves no half file."""
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
    """Writes `value` as readable JSON, atomically; equal values give equal bytes."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: epath.PathLike) -> Any:
    """Reads one JSON file.

    Raises:
      DamagedFileError: it is not JSON.
    """
    try:
        return json.loads(epath.Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged, it is not JSON ({error}): restore it.") from None


def sha256(path: epath.PathLike) -> str:
    """The hexadecimal SHA-256 of a file's content, read in pieces."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()


def sha256_once(path: str) -> str:
    """As `sha256`, of a local file; a file whose size and time have not changed is not read again by this process."""
    stat = os.stat(path)
    key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
    if key not in _known_hashes:
        _known_hashes[key] = sha256(path)
    return _known_hashes[key]


def read_pieces(path: epath.PathLike, dtype: np.typing.DTypeLike, count: int) -> Iterator[np.ndarray]:
    """The numbers of a raw file, at most `count` at a time: [n] of `dtype`."""
    with epath.Path(path).open("rb") as file:
        while piece := file.read(count * np.dtype(dtype).itemsize):
            yield np.frombuffer(piece, dtype)


def fingerprint(value: Any) -> str:
    """A short, stable hash of a JSON-like value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
