"""Writes metrics to `metrics.jsonl` and to TensorBoard, and reads them back."""

import json
import math
from collections.abc import Callable

from absl import logging
from etils import epath

from bert_jax import storage
from bert_jax.training import processes
from bert_jax.training.workdir.event_file import EventFile

FILE, DAMAGED = "metrics.jsonl", "damaged_metrics.jsonl"


class MetricWriter:
    """Appends metrics to `metrics.jsonl` and to TensorBoard event files, on the first process only.

    Damaged lines are moved to `damaged_metrics.jsonl`.

    Args:
      directory: the workdir.
      after_step: lines of later steps are removed first, so that a resumed run repeats none.
      known: how many lines there were when that step was saved; a warning says how many are lost.
      check: raises an error if the workdir is no longer where it was.
      history: the rows to begin with, in place of those that are there.

    Attributes:
      lines: how many lines there are.

    Raises:
      WriteError: a file cannot be written, for example because the disk is full. The other methods raise it too.
    """

    def __init__(
        self,
        directory: epath.PathLike,
        after_step: int,
        known: int | None = None,
        check: Callable[[], None] = lambda: None,
        history: list[dict[str, float]] | None = None,
    ):
        self._writes, self.lines, self.check = processes.is_first(), 0, check
        if not self._writes:
            return
        self._directory = epath.Path(directory)
        rows, damaged = _read(self._directory) if history is None else (history, {})
        # An evaluation of the last step may have come after its checkpoint.
        kept = [row for row in rows if row["step"] <= after_step][:known]
        self.lines = len(kept)
        if lost := max(0, (known or 0) - len(kept) - len(damaged)):
            logging.warning(
                "%s has lost %d of the %d lines that were written up to step %d: curves and reports lack them.",
                self._directory / FILE,
                lost,
                known,
                after_step,
            )
        with storage.writing(self._directory):
            if damaged:
                aside = self._directory / DAMAGED
                before = aside.read_bytes() if aside.exists() else b""
                storage.write_bytes(aside, before + b"".join(line + b"\n" for line in damaged.values()))
            file = self._directory / FILE
            storage.write_bytes(file, "".join(json.dumps(row) + "\n" for row in kept).encode())
            self._file = file.open("a")
            self._events = EventFile(self._directory / "tensorboard", after_step if history is None else -1)
            for row in history or []:
                self._events.write(int(row["step"]), {name: value for name, value in row.items() if name != "step"})

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes one line, and flushes it. Values that are not finite, for which JSON has no form, are left out."""
        if not self._writes:
            return
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        self.check()
        with storage.writing(self._directory):
            self._file.write(json.dumps({"step": step} | values) + "\n")
            self._file.flush()
            self.lines += 1
            self._events.write(step, values)

    def close(self) -> None:
        """Closes the files."""
        if not self._writes:
            return
        with storage.writing(self._directory):
            self._file.close()
            self._events.close()


def read_metrics(directory: epath.PathLike) -> list[dict[str, float]]:
    """Reads the lines of a workdir's `metrics.jsonl`, except for an incomplete last line.

    Lines that are damaged are left out, with a warning.
    """
    return _read(epath.Path(directory))[0]


def _read(directory: epath.Path) -> tuple[list[dict[str, float]], dict[int, bytes]]:
    """Returns the rows, and the damaged lines by their number, counted from 1."""
    file = directory / FILE
    if not file.exists():
        return [], {}
    *lines, _unfinished = file.read_bytes().split(b"\n")
    rows, damaged = [], {}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if _is_row(row):
            rows.append(row)
        else:
            damaged[number] = line
    if damaged:
        numbers = ", ".join(map(str, list(damaged)[:5])) + (", …" if len(damaged) > 5 else "")
        logging.warning(
            "%s: left out %s that cannot be read (line %s). The next start of the run moves it to %s.",
            file,
            "a line" if len(damaged) == 1 else f"{len(damaged)} lines",
            numbers,
            DAMAGED,
        )
    return rows, damaged


def _is_row(value: object) -> bool:
    if not isinstance(value, dict) or type(value.get("step")) is not int or value["step"] < 0:
        return False
    return all(type(number) in (int, float) for number in value.values())
