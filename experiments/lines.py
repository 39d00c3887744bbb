"""Files of texts, one a line, for the scripts that use a model."""

from collections.abc import Iterable
from typing import Any

from etils import epath

from bert_jax import storage
from bert_jax.errors import CorpusError


def read_lines(path: str) -> list[str]:
    """Reads the lines of a UTF-8 file. Empty lines are texts, too, so that line numbers are kept.

    Raises:
      CorpusError: there is no file, or it is not UTF-8.
    """
    try:
        return epath.Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise CorpusError(f"There is no file {path}.") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path} is not UTF-8: convert it, for example with iconv.") from None


def write_json_lines(path: str, values: Iterable[Any]) -> None:
    """Writes one JSON value a line."""
    storage.write_bytes(path, storage.json_lines(values))
