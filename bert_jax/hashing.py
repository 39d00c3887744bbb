"""Hashes of integers (the source of all random draws), of files, and of values that decide a result."""

import hashlib
import json
import os
import typing
from typing import Any

import jax
import numpy as np
from etils import epath

# 2**64 and 2**32 divided by the golden ratio: multiples of it spread consecutive numbers over all bits.
GOLDEN64, GOLDEN32 = np.uint64(0x9E3779B97F4A7C15), np.uint32(0x9E3779B9)

_known_files: dict[tuple[str, int, int], str] = {}


def mix64(x: np.ndarray) -> np.ndarray:
    """Mixes uint64 values bijectively, so that every input bit affects every output bit.

    This is the finaliser of SplitMix64 (Steele et al. 2014).
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def mix64_integer(x: int) -> int:
    """Applies `mix64` to one Python integer, without NumPy's overflow warnings."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


@typing.overload
def mix32(x: np.ndarray) -> np.ndarray: ...
@typing.overload
def mix32(x: jax.Array) -> jax.Array: ...
def mix32(x: Any) -> Any:
    """Mixes uint32 values like `mix64`, on the host or on a device: "lowbias32" by Chris Wellons."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def share(identifier: str, purpose: str) -> float:
    """Returns a number in [0, 1) that depends on `identifier` and `purpose` alone, on any machine."""
    digest = hashlib.sha256(f"{purpose}:{identifier}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def fingerprint(value: Any) -> str:
    """Returns a short, stable hash of a JSON-like value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def sha256(path: epath.PathLike) -> str:
    """Returns the hexadecimal SHA-256 of a file, which is read piece by piece."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()


def sha256_once(path: str) -> str:
    """Returns the same for a local file, and reads it again only if its size or modification time has changed."""
    stat = os.stat(path)
    key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
    if key not in _known_files:
        _known_files[key] = sha256(path)
    return _known_files[key]
