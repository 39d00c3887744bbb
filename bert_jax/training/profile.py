"""A trace of some steps, for xprof and TensorBoard's profile tab."""

from typing import Any

import jax
from etils import epath

from bert_jax.errors import ConfigError


class Profile:
    """Traces the steps from `first` to `last` into a folder; with None, none.

    Args:
      steps: (first, last), counted as in the logs.
      directory: where the trace goes; TensorBoard finds it below any folder above.
    """

    def __init__(self, steps: tuple[int, int] | None, directory: epath.Path):
        self._steps, self._directory, self._tracing = steps, directory, False

    def before(self, step: int) -> None:
        """Begins at the first step, or at the first one after it that this start of the run takes."""
        if self._steps is not None and not self._tracing and self._steps[0] <= step <= self._steps[1]:
            self._tracing = True
            jax.profiler.start_trace(str(self._directory))

    def after(self, step: int, result: Any) -> None:
        """Ends after the last step, when the devices have finished `result`."""
        if self._tracing and step == self._steps[1]:
            jax.block_until_ready(result)
            self.close()

    def close(self) -> None:
        """Writes what was traced."""
        if self._tracing:
            self._tracing = False
            jax.profiler.stop_trace()


def parse_steps(text: str | None) -> tuple[int, int] | None:
    """`START:STOP` as numbers of steps, both included.

    Raises:
      ConfigError: another form, or a range without steps.
    """
    if text is None:
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ConfigError(f"--profile={text} is not of the form START:STOP, steps counted as in the logs, from 1 on.")
    return int(first), int(last)
