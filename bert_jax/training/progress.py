"""A progress line: updated in place on a terminal, plain lines elsewhere."""

import sys
import time


def duration(seconds: float) -> str:
    """Formats seconds as `2:03` or `1:02:03`; from two days on, as `3 d 4 h`."""
    if seconds >= 2 * 86_400:
        days, hours = divmod(round(seconds / 3600), 24)
        return f"{days:,} d {hours} h"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """Shows the progress of a run.

    Args:
      start: the number of steps already taken.
      stop: the last step.
      quiet: show nothing; for all processes but the first.
      seconds_between_lines: the least time between lines where they cannot be updated in place.
    """

    def __init__(self, start: int, stop: int, quiet: bool = False, seconds_between_lines: float = 10.0):
        self._start, self._stop, self._quiet = start, stop, quiet
        self._terminal, self._between = sys.stderr.isatty(), seconds_between_lines
        self._began, self._last, self._width = time.monotonic(), -1e9, 0

    def show(self, step: int, values: dict[str, float]) -> None:
        """Shows the step, losses, real tokens per second and time left, in one line."""
        now = time.monotonic()
        if self._quiet or (not self._terminal and now - self._last < self._between and step < self._stop):
            return
        self._last = now
        left = (now - self._began) / max(step - self._start, 1) * (self._stop - step)
        total = values["train/loss"]
        # With one objective, its loss is the whole.
        names = [name for name in values if name.endswith("loss") and (name == "train/loss" or values[name] != total)]
        losses = "  ".join(f"{name.removeprefix('train/')} {values[name]:.3f}" for name in names)
        speed = f"{values['train/tokens_per_second'] / 1e3:.1f}k tokens/s"
        line = f"step {step:,}/{self._stop:,}  {losses}  {speed}  {duration(left)} left"
        self._print(line, end="" if self._terminal else "\n")

    def note(self, text: str) -> None:
        """Prints a line that is not overwritten."""
        if not self._quiet:
            self._print(text, end="\n")

    def _print(self, line: str, end: str) -> None:
        lead = "\r" if self._terminal else ""
        try:
            print(lead + line.ljust(self._width), end=end, file=sys.stderr, flush=True)
        except OSError:  # whoever read it, such as `head` or a terminal, has gone: train on in silence
            self._quiet = True
        self._width = len(line) if self._terminal and not end else 0
