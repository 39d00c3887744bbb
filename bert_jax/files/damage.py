"""What the libraries that read files raise, as one sentence that names the file and the place."""

import contextlib
from collections.abc import Callable, Iterator

from bert_jax.errors import BertJaxError, CorpusError


@contextlib.contextmanager
def raising(describe: Callable[[Exception], CorpusError]) -> Iterator[None]:
    """A context for calls of a reading library alone: such libraries may raise anything.

    Args:
      describe: makes the error to raise instead of any exception that is not the package's own.

    Raises:
      CorpusError: what `describe` returns.
    """
    try:
        yield
    except BertJaxError:
        raise
    except Exception as error:
        raise describe(error) from error


def readable(file: str, place: str = "") -> contextlib.AbstractContextManager[None]:
    """A context for calls that read a file.

    Args:
      file: is named in the error.
      place: in the file, such as " after row 128".

    Raises:
      CorpusError: instead of any other exception.
    """
    return raising(lambda error: damaged(file, error, place))


def damaged(file: str, error: Exception, place: str = "") -> CorpusError:
    """The error for a file that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    # Some libraries quote what they have read, on several lines.
    reason = "".join(c if c.isprintable() else "?" for c in " ".join(reason.split())[:200]).rstrip(".")
    return CorpusError(f"{file} is damaged or cannot be read{place} ({reason}): restore or remove it.")
