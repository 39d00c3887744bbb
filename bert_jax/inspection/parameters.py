"""The parameters of a model in any folder that `bert_jax.load` opens.

Arrays are read one after the other and not kept, so a model may be larger than memory, and was perhaps sharded over a
mesh that is not there.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import flax.traverse_util
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from bert_jax.interop.parameters import FileParameters
from bert_jax.interop.released import ReleasedModel
from bert_jax.loading import open_folder
from bert_jax.pretrained import Pretrained
from bert_jax.training.workdir.checkpoints import SavedParams

PIECE = 1 << 20  # elements; sums are made in float64, a piece at a time
GROUP = re.compile(r"bert/encoder/[^/]+|bert/[^/]+|[^/]+")


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The parameters of a model, to be read.

    Attributes:
      source: the folder.
      step: the step of the checkpoint; None if it is not of a run.
      shapes: their shapes, by name: a path such as `bert/embeddings/word`. In the order of the model.
      dtypes: what they are stored as, by name.
    """

    source: str
    step: int | None
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, np.dtype]
    _read: Callable[[Sequence[str]], dict[str, np.ndarray]]

    def read(self, names: Iterable[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (name, array): the large arrays one at a time, of the small ones as many as are no larger together.

        Args:
          names: which; None: all.

        Raises:
          CheckpointError: an array is damaged.
        """
        sizes = {name: math.prod(self.shapes[name]) for name in (self.shapes if names is None else names)}
        most, portion, taken = max(sizes.values(), default=0), [], 0
        for name, size in sizes.items():
            if portion and taken + size > most:
                yield from self._taken(portion)
                portion, taken = [], 0
            portion.append(name)
            taken += size
        if portion:
            yield from self._taken(portion)

    def _taken(self, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
        arrays = self._read(names)
        for name in names:
            yield name, arrays.pop(name)  # not kept once it was yielded


@dataclasses.dataclass(frozen=True)
class ArraySummary:
    """One array of a model.

    Attributes:
      name: its path in the tree.
      shape: its shape.
      dtype: what it is stored as.
      norm: the root of its sum of squares; not finite if one of its numbers is not.
      largest: the largest magnitude; not a number if one of its numbers is none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    norm: float
    largest: float

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """The bytes that it takes as it is stored."""
        return self.size * self.dtype.itemsize

    @property
    def rms(self) -> float:
        """The root of the mean square of its numbers."""
        return self.norm / math.sqrt(max(self.size, 1))


@dataclasses.dataclass(frozen=True)
class ParameterTree:
    """All arrays of a model.

    Attributes:
      source: the folder.
      step: the step of the checkpoint; None if it is not of a run.
      arrays: in the order of the model.
    """

    source: str
    step: int | None
    arrays: tuple[ArraySummary, ...]

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return sum(one.size for one in self.arrays)

    @property
    def groups(self) -> dict[str, list[ArraySummary]]:
        """The arrays of each layer and head, by its path, such as `bert/encoder/layer_0`."""
        found: dict[str, list[ArraySummary]] = {}
        for one in self.arrays:
            found.setdefault(group_of(one.name), []).append(one)
        return found


def group_of(name: str) -> str:
    """Returns the path of the layer or head that a parameter is in."""
    match = GROUP.match(name)
    return match[0] if match else name


def open_parameters(model: Pretrained | epath.PathLike, step: int | None = None) -> Parameters:
    """Opens the parameters of a model; reads none yet.

    Args:
      model: any folder that `bert_jax.load` takes, or what it returned.
      step: which checkpoint of a run; None: that which `load` opens.

    Raises:
      BertJaxError: there is no model, or it is damaged.
    """
    if isinstance(model, Pretrained):
        flat: dict[str, Any] = dict(flax.traverse_util.flatten_dict(model.params, sep="/"))
        arrays = {name: np.asarray(array) for name, array in flat.items()}
        shapes, dtypes = ({name: getattr(array, of) for name, array in arrays.items()} for of in ("shape", "dtype"))
        return Parameters(
            model.source, model.step, _in_order(shapes), dtypes, lambda names: {name: arrays[name] for name in names}
        )
    opened = open_folder(model, step)
    if isinstance(opened, ReleasedModel):
        return _of_file(str(model), opened.parameters)
    return _of_checkpoint(str(model), opened)


def _of_file(source: str, file: FileParameters) -> Parameters:
    return Parameters(
        source, None, _in_order(file.shapes), file.dtypes, lambda names: {name: file.read(name) for name in names}
    )


def _of_checkpoint(source: str, saved: SavedParams) -> Parameters:
    on_host = ocp.RestoreArgs(restore_type=np.ndarray)
    return Parameters(
        source,
        saved.step or None,  # a model without a run has no steps
        _in_order(saved.shapes),
        saved.dtypes,
        lambda names: saved.read(dict.fromkeys(names, on_host)),
    )


def parameter_tree(parameters: Parameters) -> ParameterTree:
    """Reads the parameters of a model once, and describes each array."""
    arrays = []
    for name, array in parameters.read():
        squares, largest = 0.0, 0.0
        for piece in pieces(array):
            squares += float(piece @ piece)
            largest = float(np.maximum(largest, np.abs(piece).max()))  # unlike `max`, keeps what is not a number
        arrays.append(ArraySummary(name, parameters.shapes[name], parameters.dtypes[name], math.sqrt(squares), largest))
    return ParameterTree(parameters.source, parameters.step, tuple(arrays))


def pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the numbers of an array in float64, some at a time."""
    flat = array.reshape(-1)
    for begin in range(0, len(flat), PIECE):
        yield flat[begin : begin + PIECE].astype(np.float64)


def _in_order(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Sorts by the order of the model: embeddings, layers by number, pooler, heads."""
    first = {"bert/embeddings": 0, "bert/encoder": 1, "bert/pooler": 2}

    def place(name: str) -> tuple:
        above = "/".join(name.split("/")[:2])
        numbers = [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
        return first.get(above, len(first)), numbers

    return {name: shapes[name] for name in sorted(shapes, key=place)}
