"""Ends a script with an error message and exit code 2 on the package's own errors and on wrong flags.

A disk or a network that fails, or is full, ends it with exit code 74, Ctrl-C with 130. Any other exception is a bug,
and keeps its traceback.
"""

import functools
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from absl import app, flags, logging

from bert_jax.errors import BertJaxError, ConfigError, ReadError, WriteError, did_you_mean

EXIT_CODE = 2
FILES_CODE = 74  # EX_IOERR of sysexits.h
INTERRUPTED = 130
Result = TypeVar("Result")
MISSING = re.compile(r"flag --(\w+)=None: Flag --\1 must have a value other than None\.")


def run(main: Callable[[list[str]], Any], parse: Callable[[list[str]], list[str]] | None = None) -> None:
    """Runs a script's `main(argv)` as an absl app.

    Args:
      main: takes the command line without its flags.
      parse: parses the command line, instead of `parse_flags`, and returns it without its flags.
    """
    # Files and terminals without UTF-8: rather a question mark than an error that ends the run.
    sys.stdout.reconfigure(errors="replace")
    app.run(exit_on_error(main), flags_parser=exit_on_error(parse or parse_flags))


def exit_on_error(function: Callable[[list[str]], Result]) -> Callable[[list[str]], Result]:
    """Wraps a script's main function or flag parser, so that errors of the user or the system end the program."""

    @functools.wraps(function)
    def wrapped(argv: list[str]) -> Result:
        try:
            return function(argv)
        except BrokenPipeError:
            # Whoever read the output, such as `head`, has gone.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_CODE)
        except BertJaxError as error:
            _tell(str(error))
            sys.exit(FILES_CODE if isinstance(error, ReadError | WriteError) else EXIT_CODE)
        except OSError as error:
            # The system's fault, not the code's, wherever it shows. --verbosity=0 shows where.
            logging.info("%s", "".join(traceback.format_exception(error)))
            _tell(_sentence(error))
            sys.exit(FILES_CODE)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            sys.exit(INTERRUPTED)

    return wrapped


def _tell(text: str) -> None:
    print("\n".join(f"error: {line}" for line in text.split("\n")), file=sys.stderr)


def _sentence(error: OSError) -> str:
    reason = error.strerror or str(error).split("\n")[0] or type(error).__name__
    named = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    files = " and ".join(map(os.fsdecode, named))
    what = f"{files} cannot be read or written" if files else "A file or a connection failed"
    return f"{what} ({reason}): mend it, and run the same command again."


def parse_flags(argv: list[str], argument: str = "") -> list[str]:
    """Parses a command line of flags, and returns the rest of it: the name of the program, and the argument.

    Args:
      argv: the command line.
      argument: what the one argument is that is no flag, for messages; empty: there is none.

    Raises:
      ConfigError: a flag is unknown, missing or has a wrong value, an argument is not a flag, or the one is missing.
    """
    try:
        program, *rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        wrong = dict.fromkeys([error.flagname, *_unknown(argv)])  # absl names the first alone
        raise ConfigError("\n".join(f"There is no flag --{name}.{_near_flag(name)}" for name in wrong)) from None
    except (flags.Error, ValueError) as error:
        raise ConfigError("\n".join(map(_improved, str(error).split("\n")))) from None
    extra = rest[1:] if argument else rest
    if extra:
        raise ConfigError(f"{extra[0]!r} is not a flag: give flags in the form --name=value.")
    if argument and not rest:
        raise ConfigError(f"Give {argument}.")
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # libraries log too much at INFO; progress is printed anyway
    return [program, *rest]


def _unknown(argv: list[str]) -> list[str]:
    """The names of the flags that do not exist."""
    given = [argument[2:].partition("=")[0] for argument in argv[1:] if argument.startswith("--")]
    return [name for name in given if name and not {name, name.removeprefix("no")} & set(flags.FLAGS)]


def _near_flag(name: str) -> str:
    return did_you_mean(f"--{name}", [f"--{known}" for known in flags.FLAGS])


def _improved(line: str) -> str:
    """An error message of absl, with the flag's help or a suggestion added where that is useful."""
    if match := MISSING.fullmatch(line):
        return f"--{match[1]} is missing: {flags.FLAGS[match[1]].help}"
    if match := re.match(r"flag --([\w.]+)=", line):
        choices = getattr(flags.FLAGS[match[1]].parser, "enum_values", ())
        value = line[match.end() :].partition(":")[0]
        return line.removeprefix("flag ") + did_you_mean(value, choices)
    return line[:1].upper() + line[1:]
