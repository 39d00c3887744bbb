"""Traces a range of steps for xprof and TensorBoard's profile tab."""

from typing import Any

import jax
from etils import epath

from bert_jax.errors import ConfigError


class Profile:
    """Writes a trace of a range of steps to a folder.

    Args:
      steps: (first, last), both included, numbered as in the logs. None: no trace.
      directory: where the trace goes. TensorBoard finds it from any parent folder.
    """

    def __init__(self, steps: tuple[int, int] | None, directory: epath.Path):
        self._steps, self._directory, self._tracing = steps, directory, False

    def before(self, step: int) -> None:
        """Starts the trace at the first step of the range that this start of the run takes."""
        if self._steps is not None and not self._tracing and self._steps[0] <= step <= self._steps[1]:
            self._tracing = True
            jax.profiler.start_trace(str(self._directory))

    def after(self, step: int, result: Any) -> None:
        """Stops the trace after the last step, once the devices have finished `result`."""
        if self._tracing and self._steps is not None and step == self._steps[1]:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Stops an open trace and writes it."""
        if self._tracing:
            self._tracing = False
            jax.profiler.stop_trace()


def parse_steps(text: str | None) -> tuple[int, int] | None:
    """Parses `START:STOP` into two step numbers, both included.

    Raises:
      ConfigError: the text has another form, or the range is empty.
    """
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ConfigError(f"--profile={text} is not of the form START:STOP, steps counted as in the logs, from 1 on.")
    return int(first), int(last)
