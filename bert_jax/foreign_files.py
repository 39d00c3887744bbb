"""Small files that others wrote: checked before they are believed."""

import json
from typing import Any

from etils import epath

from bert_jax.errors import BertJaxError

LFS_POINTER = b"version https://git-lfs"


def check_no_pointer(path: epath.PathLike, start: bytes, error: type[BertJaxError]) -> None:
    """Checks that a file is not a Git LFS pointer, which a clone without git-lfs has in its place.

    Raises:
      error: it is one, judging by its `start`.
    """
    if start.startswith(LFS_POINTER):
        raise error(f"{path} is a Git LFS pointer, not the file: fetch it with git lfs pull, or download the file.")


def read_small(path: epath.Path, most: int, error: type[BertJaxError]) -> bytes:
    """Reads a file of at most `most` bytes.

    Raises:
      error: it has more, or is a Git LFS pointer.
    """
    if (size := path.stat().length) > most:
        raise error(f"{path} has {size:,} bytes, more than the {most:,} that such a file may have: restore it.")
    content = path.read_bytes()
    check_no_pointer(path, content[: len(LFS_POINTER)], error)
    return content


def parse_json(name: epath.PathLike, content: bytes, error: type[BertJaxError], kind: type = dict) -> Any:
    """Parses a JSON object, or an array if `kind` is list.

    Raises:
      error: it is not JSON, or another kind of value.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise error(f"{name} is not JSON: restore it.") from None
    if not isinstance(values, kind):
        raise error(f"{name} is not a JSON {'object' if kind is dict else 'array'}: restore it.")
    return values
