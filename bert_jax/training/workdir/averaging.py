"""The mean of the parameters over the last checkpoints of a run (Izmailov et al. 2018, arXiv 1803.05407)."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from bert_jax import hashing
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.training.workdir.checkpoints import SavedParams
from bert_jax.training.workdir.reading import steps_in


class LastParams(SavedParams):
    """The mean of the parameters of several checkpoints, one array at a time. It has been scored nowhere.

    Args:
      directory: a `checkpoints/` folder.
      last: how many checkpoints.
      step: the newest of them; None: that of the run.
      mean: as `SavedParams`.

    Attributes:
      averaged: their steps, in order.

    Raises:
      CheckpointError: there are fewer checkpoints, or one cannot be read.
    """

    def __init__(self, directory: epath.PathLike, last: int, step: int | None = None, mean: bool = True):
        if last < 1:
            raise ConfigError(f"There is no mean of the last {last} checkpoints: give at least 1.")
        there = steps_in(epath.Path(directory))
        until = [one for one in there if step is None or one <= step]
        super().__init__(directory, step if step is not None else max(there, default=None), mean)
        if len(until) < last:
            raise CheckpointError(
                f"There is no mean of the last {last} checkpoints in {directory}, which has {len(until)}"
                f"{'' if step is None else f' up to step {step}'}: keep more by train.keep_checkpoints."
            )
        self.averaged = until[-last:]
        self._others = [SavedParams(directory, one, mean) for one in self.averaged[:-1]]
        self.scores = {}

    @property
    def fingerprint(self) -> str:
        own = super().fingerprint
        return hashing.fingerprint([one.fingerprint for one in self._others] + [own])

    def read(self, wanted: Mapping[str, ocp.RestoreArgs]) -> dict[str, Any]:
        found = [super().read(wanted), *(one.read(wanted) for one in self._others)]
        return {name: _mean([one[name] for one in found]) for name in found[0]}


def _mean(arrays: list[Any]) -> Any:
    if isinstance(arrays[0], np.ndarray):
        return np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[0].dtype)
    return jax.tree.map(lambda *parts: sum(parts) / len(parts), *arrays)
