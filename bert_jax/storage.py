"""Files that are either whole or absent, and their fingerprints."""

import hashlib
import json
from typing import Any

from etils import epath


def write_bytes(path: epath.PathLike, content: bytes) -> None:
    """Writes a file under a temporary name and renames it, so that a killed process leaves no half file."""
    path = epath.Path(path)
    temporary = path.parent / f"{path.name}.partial"
    temporary.write_bytes(content)
    temporary.replace(path)


def write_json(path: epath.PathLike, value: Any) -> None:
    """Writes `value` as readable JSON, atomically; equal values give equal bytes."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: epath.PathLike) -> Any:
    """Reads one JSON file."""
    return json.loads(epath.Path(path).read_text())


def sha256(path: epath.PathLike) -> str:
    """The hexadecimal SHA-256 of a file's content, read in pieces."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()


def fingerprint(value: Any) -> str:
    """A short, stable hash of a JSON-like value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
