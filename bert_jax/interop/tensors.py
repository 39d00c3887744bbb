"""The contract of files of named tensors: safetensors, and TensorFlow's checkpoints."""

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """What a file says about one of its tensors.

    Attributes:
      shape: its shape.
      dtype: its dtype; bfloat16 is that of `ml_dtypes`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


class TensorFile(Protocol):
    """Named tensors, of which one at a time is read.

    Attributes:
      infos: all tensors of the file, by name. Their sizes have been compared with that of the file.
    """

    @property
    def infos(self) -> Mapping[str, TensorInfo]: ...

    def read(self, name: str) -> np.ndarray:
        """Reads one tensor into an array of its own.

        Raises:
          CheckpointError: the file has changed or cannot be read.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Arrays:
    """Tensors that are in memory, such as a state dict. A `TensorFile`."""

    by_name: Mapping[str, np.ndarray]

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        return {name: TensorInfo(array.shape, array.dtype) for name, array in self.by_name.items()}

    def read(self, name: str) -> np.ndarray:
        return self.by_name[name]
