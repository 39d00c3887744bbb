"""Where numbers go: `metrics.jsonl`, and the same for TensorBoard."""

import json

from etils import epath

from bert_jax import storage
from bert_jax.training import processes


class MetricWriter:
    """Appends metrics to `metrics.jsonl` and to TensorBoard event files; the first process does.

    Args:
      directory: the workdir.
      after_step: what was written for later steps is removed first, so that a resumed run repeats nothing.
    """

    def __init__(self, directory: epath.PathLike, after_step: int):
        self._writes = processes.is_first()
        if not self._writes:
            return
        import tensorboardX  # brings PyTorch along where that is installed: only a run is to wait for it

        directory = epath.Path(directory)
        file = directory / "metrics.jsonl"
        kept = [row for row in read_metrics(directory) if row["step"] <= after_step]
        storage.write_bytes(file, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self._file = file.open("a")
        self._events = tensorboardX.SummaryWriter(str(directory / "tensorboard"), purge_step=after_step + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes one line; it is with the operating system when this returns."""
        if not self._writes:
            return
        self._file.write(json.dumps({"step": step} | values) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
        self._events.flush()

    def close(self) -> None:
        if not self._writes:
            return
        self._file.close()
        self._events.close()


def read_metrics(directory: epath.PathLike) -> list[dict[str, float]]:
    """The lines of a workdir's `metrics.jsonl`; a last line that was cut off is left out."""
    file = epath.Path(directory) / "metrics.jsonl"
    if not file.exists():
        return []
    *lines, _unfinished = file.read_text().split("\n")
    return [json.loads(line) for line in lines]
