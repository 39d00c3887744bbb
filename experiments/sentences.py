"""Turns what a person can mend into sentences and exit code 2: the package's own errors, and flags that are wrong.

A bug keeps its traceback.
"""

import functools
import re
import sys
from collections.abc import Callable

from absl import app, flags

from bert_jax.errors import BertJaxError, ConfigError, did_you_mean

EXIT_CODE = 2
MISSING = re.compile(r"flag --(\w+)=None: Flag --\1 must have a value other than None\.")


def run(main: Callable, parse: Callable[[list[str]], None] | None = None) -> None:
    """Runs a script's `main(argv)` as an absl app.

    Args:
      parse: takes the command line, in place of `parse_flags`.
    """
    app.run(errors_as_sentences(main), flags_parser=errors_as_sentences(parse or parse_flags))


def errors_as_sentences(function: Callable) -> Callable:
    """Wraps a script's main function or flag parser: a `BertJaxError` ends the program with exit code 2."""

    @functools.wraps(function)
    def wrapped(argv):
        try:
            return function(argv)
        except BertJaxError as error:
            print("\n".join(f"error: {line}" for line in str(error).split("\n")), file=sys.stderr)
            sys.exit(EXIT_CODE)

    return wrapped


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line, flags alone.

    Raises:
      ConfigError: an unknown flag, a value that it does not take, one that is missing, or what is no flag.
    """
    try:
        program, *rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        raise ConfigError(f"There is no flag --{error.flagname}.{_near_flag(error.flagname)}") from None
    except (flags.Error, ValueError) as error:
        raise ConfigError("\n".join(map(_told, str(error).split("\n")))) from None
    if rest:
        # absl would leave out this one and all flags behind it.
        raise ConfigError(f"{rest[0]!r} is no flag: these begin with --, and have their values behind '='.")
    return [program]


def _near_flag(name: str) -> str:
    return did_you_mean(f"--{name}", [f"--{known}" for known in flags.FLAGS])


def _told(line: str) -> str:
    """A line of absl's, where it can be clearer with the flag's help."""
    if match := MISSING.fullmatch(line):
        return f"--{match[1]} is missing: {flags.FLAGS[match[1]].help}"
    if match := re.match(r"flag --([\w.]+)=", line):
        choices = getattr(flags.FLAGS[match[1]].parser, "enum_values", ())
        value = line[match.end() :].partition(":")[0]
        return line.removeprefix("flag ") + did_you_mean(value, choices)
    return line[:1].upper() + line[1:]
