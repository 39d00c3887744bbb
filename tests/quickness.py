"""A limit on the processor time of a block."""

import contextlib
import gc
import time
from collections.abc import Iterator


@contextlib.contextmanager
def at_once(seconds: float = 1.0) -> Iterator[None]:
    """Fails if its body takes more processor time than this.

    The garbage collector stands still: a collection of all that other tests of this process hold takes a second.
    """
    gc.disable()
    begin = time.process_time()
    try:
        yield
    finally:
        took = time.process_time() - begin
        gc.enable()
    assert took < seconds
