"""The errors a person can mend.

Each is one sentence: what is wrong, and what to do about it. Scripts print these without a traceback;
any other exception is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Callable, Iterable
from typing import Any


class BertJaxError(Exception):
    """Base of every error that the package raises on purpose."""


class ConfigError(BertJaxError):
    """A configuration that cannot work, found before anything is compiled."""


class TokenizerError(BertJaxError):
    """A vocabulary that cannot be read, trained or used."""


class CorpusError(BertJaxError):
    """A source or a stored corpus that is missing, damaged or half built."""


class CheckpointError(BertJaxError):
    """A checkpoint that is missing, damaged or of another model."""


class DamagedFileError(BertJaxError):
    """A file of ours that cannot be read back."""


def check_all(*checks: Callable[[], Any]) -> None:
    """Makes every check, then tells what all of them found.

    Raises:
      BertJaxError: of the first one's kind, with the sentences of all, a line each.
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
    """A sentence where `value` is none of `choices`, to add to a list of problems."""
    choices = list(choices)
    if value in choices:
        return []
    return [f"{name}={value!r} is not one of {', '.join(choices)}.{did_you_mean(value, choices)}"]


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """` Did you mean X?`, to put behind a sentence; empty where nothing is near."""
    near = near_names(wrong, known)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def near_names(wrong: str, known: Iterable[str]) -> list[str]:
    """The name that was probably meant; several where they are equally near.

    Of names with dots the last part alone may be near, too: `data.batch_size` is near `train.batch_size`.
    """
    last_parts: dict[str, list[str]] = {}
    for name in known:
        last_parts.setdefault(_last_part(name), []).append(name)
    everything = [name for names in last_parts.values() for name in names]
    last = _last_part(wrong)
    return (
        last_parts.get(last)
        or difflib.get_close_matches(wrong, everything, n=1)
        or [name for part in difflib.get_close_matches(last, last_parts, n=1) for name in last_parts[part]]
    )


def _last_part(name: str) -> str:
    return name.rpartition(".")[2].lstrip("-")
