"""Turns the package's own errors into a sentence and an exit code; a bug keeps its traceback."""

import functools
import sys
from collections.abc import Callable

from bert_jax.errors import BertJaxError


def errors_as_sentences(function: Callable) -> Callable:
    """Wraps a script's main function or flag parser: a `BertJaxError` ends the program with exit code 2."""

    @functools.wraps(function)
    def wrapped(argv):
        try:
            return function(argv)
        except BertJaxError as error:
            print("\n".join(f"error: {line}" for line in str(error).split("\n")), file=sys.stderr)
            sys.exit(2)

    return wrapped
