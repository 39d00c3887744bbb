"""Errors that the user can fix.

Each message is one sentence: what is wrong, and what to do about it. Scripts print these errors without a traceback.
Any other exception is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Callable, Iterable
from typing import Any


class BertJaxError(Exception):
    """The base class of all errors that the package raises on purpose."""


class ConfigError(BertJaxError):
    """A configuration cannot work. Raised before anything is compiled."""


class TokenizerError(BertJaxError):
    """A vocabulary cannot be read, trained or used."""


class CorpusError(BertJaxError):
    """A source or a stored corpus is missing, damaged or incomplete."""


class CheckpointError(BertJaxError):
    """A checkpoint is missing, damaged or of another model."""


class ReadError(CheckpointError):
    """A checkpoint cannot be read at the moment, for example because a bucket does not answer. It may be intact."""


class LockError(BertJaxError):
    """Another process works in the same folder, or the folder cannot be written."""


class WriteError(BertJaxError):
    """A folder cannot be written, for example because the disk is full."""


class DamagedFileError(BertJaxError):
    """A file that the package wrote cannot be read back."""


LONGEST_QUOTE = 80


def counted(count: int, noun: str) -> str:
    """Returns `1 text` or `1,234 texts`, for a noun whose plural has an s."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def quoted(name: object) -> str:
    """Returns a name that a file gave, for a message: in quotes, without control characters, cut to 80 characters."""
    text = repr(str(name)[: LONGEST_QUOTE + 1])
    return text if len(text) <= LONGEST_QUOTE + 2 else f"{text[:LONGEST_QUOTE]}…{text[0]}"


def check_all(*checks: Callable[[], Any]) -> None:
    """Runs all checks, then reports all their errors at once.

    Raises:
      BertJaxError: a check failed. The class is that of the first error; the message has one line for each.
    """
    found = []
    for check in checks:
        try:
            check()
        except BertJaxError as error:
            found.append(error)
    if found:
        raise type(found[0])("\n".join(map(str, found)))


def choice_problem(name: str, value: str, choices: Iterable[str]) -> list[str]:
    """Returns a message if `value` is not one of `choices`, else an empty list."""
    choices = list(choices)
    if value in choices:
        return []
    shown = ", ".join(filter(None, choices))  # an empty choice is the default
    return [f"{name}={value!r} is not one of {shown}.{did_you_mean(value, choices)}"]


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Returns ` Did you mean X?`, to append to a message; empty if no known name is similar."""
    near = near_names(wrong, known)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def near_names(wrong: str, known: Iterable[str]) -> list[str]:
    """Returns the known name that was probably meant, or several that are equally close.

    Only the last parts of dotted names are compared: `data.batch_size` is close to `train.batch_size`. Initials count:
    `lr` is close to `learning_rate`.
    """
    last_parts: dict[str, list[str]] = {}
    for name in known:
        last_parts.setdefault(_last_part(name), []).append(name)
    last = _last_part(wrong)
    initials = [part for part in last_parts if "".join(word[:1] for word in part.split("_")) == last and len(last) > 1]
    parts = [last] if last in last_parts else initials or difflib.get_close_matches(last, last_parts, n=1)
    return [name for part in parts for name in last_parts[part]]


def _last_part(name: str) -> str:
    return name.rpartition(".")[2].lstrip("-")
