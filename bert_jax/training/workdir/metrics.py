"""Writes metrics to `metrics.jsonl` and to TensorBoard, and reads them back."""

import json

from etils import epath

from bert_jax import storage
from bert_jax.training import processes


class MetricWriter:
    """Appends metrics to `metrics.jsonl` and to TensorBoard event files, on the first process only.

    Args:
      directory: the workdir.
      after_step: lines of later steps are removed first, so that a resumed run repeats none.
    """

    def __init__(self, directory: epath.PathLike, after_step: int):
        self._writes = processes.is_first()
        if not self._writes:
            return
        import tensorboardX  # imports PyTorch if it is installed, which is slow: only runs should wait for it

        directory = epath.Path(directory)
        file = directory / "metrics.jsonl"
        kept = [row for row in read_metrics(directory) if row["step"] <= after_step]
        storage.write_bytes(file, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self._file = file.open("a")
        self._events = tensorboardX.SummaryWriter(str(directory / "tensorboard"), purge_step=after_step + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes one line, and flushes it."""
        if not self._writes:
            return
        self._file.write(json.dumps({"step": step} | values) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
        self._events.flush()

    def close(self) -> None:
        """Closes the files."""
        if not self._writes:
            return
        self._file.close()
        self._events.close()


def read_metrics(directory: epath.PathLike) -> list[dict[str, float]]:
    """Reads the lines of a workdir's `metrics.jsonl`, except for an incomplete last line."""
    file = epath.Path(directory) / "metrics.jsonl"
    if not file.exists():
        return []
    *lines, _unfinished = file.read_text().split("\n")
    return [json.loads(line) for line in lines]
