"""Event loops for a library that closes its loop too early."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any


class _PatientLoop(asyncio.SelectorEventLoop):
    """An event loop that finishes its pending tasks before it closes."""

    def close(self) -> None:
        if not self.is_closed() and (left := asyncio.all_tasks(self)):
            self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        super().close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Ignores the errors of tasks that nobody awaits: the first error of a loop is raised anyway."""


class _PatientPolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _PatientLoop()


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Returns a context in which new event loops finish their pending tasks before they close.

    Orbax reads all arrays of a checkpoint concurrently and closes its loop at the first damaged one. Each of the others
    would then report to a closed loop, and print a traceback.
    """
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_PatientPolicy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)
