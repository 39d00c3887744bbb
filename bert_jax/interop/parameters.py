"""Parameters from named tensors, and back, one tensor at a time; the tables of `families/` say which is which."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from bert_jax.errors import CheckpointError, quoted
from bert_jax.interop.entries import Entry
from bert_jax.interop.families.family import BODY, Family
from bert_jax.interop.families.registry import BERT, family_of
from bert_jax.interop.tensors import TensorFile, TensorInfo
from bert_jax.model.config import ModelConfig

FLOAT32 = np.dtype(np.float32)


@dataclasses.dataclass(frozen=True)
class FileParameters:
    """The parameters of a model in a file, of which one at a time is read.

    Attributes:
      shapes: their shapes, by name: a path in the parameter tree, such as `mlm/bias`.
      dtypes: what the file stores them as, by name.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, np.dtype]
    _read: Callable[[str], np.ndarray]

    def read(self, name: str) -> np.ndarray:
        """Reads one parameter, float32.

        Raises:
          CheckpointError: a tensor has the wrong shape or dtype, or is not finite.
        """
        return self._read(name)


def read_parameters(
    file: TensorFile,
    config: ModelConfig,
    family: Family = BERT,
    parts: tuple[str, ...] | None = None,
    classifier: str = "label",
) -> dict[str, Any]:
    """Reads all parameters of a model, as a tree; see `open_parameters`."""
    opened = open_parameters(file, config, family, parts, classifier)
    return flax.traverse_util.unflatten_dict({name: opened.read(name) for name in opened.shapes}, sep="/")


def open_parameters(
    file: TensorFile,
    config: ModelConfig,
    family: Family = BERT,
    parts: tuple[str, ...] | None = None,
    classifier: str = "label",
) -> FileParameters:
    """Finds the parameters of a model in a file.

    Any floating-point dtype is widened to float32. The decoder may have its own copy of the word table, or not.

    Args:
      file: the tensors; those of other parts are ignored.
      config: the config of the model.
      family: the naming scheme of the file.
      parts: what to read besides embeddings and encoder: `pooler`, `mlm`, `nsp`, `label` (of examples or tokens) or
        `choice`, `span`; None: whatever is there.
      classifier: the head that the file's `classifier` is: `label`, `choice` or `span`. The tensors of a choice are
        also those of a single label.

    Returns:
      The parameters of a `bert_jax.model.composite.Composite` with heads of these names.

    Raises:
      CheckpointError: a tensor is missing, unknown, or duplicate.
      ConfigError: the family does not have the config.
    """
    family.check(config)
    names = family.canonical_names(file.infos)
    copies = {twin: (name, names.pop(twin)) for twin, name in family.twins(config).items() if twin in names}
    for name, copy in copies.values():
        names.setdefault(name, copy)
    # First, because the table of a config with 100,000 layers would take minutes.
    if (found := family.num_layers(names)) != config.num_layers:
        raise CheckpointError(
            f"The weights have {found} layers, but the config has num_hidden_layers={config.num_layers}: one of them"
            " belongs to another model."
        )
    has_classifier = any(name.startswith("classifier.") for name in names)
    table = family.table(config, classifier if has_classifier else "", _num_labels(file, names), names)
    places = {name: part for part, entries in table.items() for entry in entries for name in entry.theirs}
    if unknown := sorted(names[name] for name in names.keys() - places.keys()):
        raise CheckpointError(
            f"The weights have {_some(unknown)}, which this model does not have: check the kind of model."
        )
    if parts is None:
        parts = tuple(dict.fromkeys(places[name] for name in places if name in names and places[name] not in BODY))
    wanted = [entry for part in (*BODY, *parts) for entry in table[part]]
    if missing := [name for entry in wanted for name in entry.theirs if name not in names]:
        raise CheckpointError(f"The weights lack {_some(missing)}: check the config, or ask for fewer parts.")
    entries = {name: entry for entry in wanted for name in entry.ours}
    shapes = {name: entry.ours[name] for name, entry in entries.items()}
    # An array without a tensor, the token types of a family that has none, is made here.
    dtypes = {
        name: file.infos[names[next(iter(entry.theirs))]].dtype if entry.theirs else FLOAT32
        for name, entry in entries.items()
    }
    twins = dict(copies.values())
    return FileParameters(shapes, dtypes, lambda name: _read_array(file, name, entries[name], names, twins))


def _num_labels(file: TensorFile, names: Mapping[str, str]) -> int:
    shape = file.infos[names["classifier.bias"]].shape if "classifier.bias" in names else ()
    return shape[0] if len(shape) == 1 else 0


def _read_array(
    file: TensorFile, ours: str, entry: Entry, names: Mapping[str, str], twins: Mapping[str, str]
) -> np.ndarray:
    """Reads one array of an entry; `twins` are the tensors of the table that have a copy in the file, by name."""
    found = [_read_float32(file, names[name], shape) for name, shape in entry.theirs.items()]
    for name, value in zip(entry.theirs, found, strict=True):
        copy = twins.get(name, names[name])
        if copy != names[name] and not np.array_equal(value, _read_float32(file, copy, entry.theirs[name])):
            raise CheckpointError(
                f"{quoted(copy)} is not equal to {quoted(names[name])}: a model with a separate output table must say"
                " tie_word_embeddings=false."
            )
    return np.ascontiguousarray(dict(zip(entry.ours, entry.join(found), strict=True))[ours])


def _read_float32(file: TensorFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    info = file.infos[name]
    _check(name, info, shape)
    return _finite(name, file.read(name).astype(FLOAT32, copy=False))


def _check(name: str, info: TensorInfo, shape: tuple[int, ...]) -> None:
    if info.shape != shape:
        raise CheckpointError(
            f"{quoted(name)} has the shape {list(info.shape)} where the config asks for {list(shape)}."
        )
    if not jnp.issubdtype(info.dtype, jnp.floating):
        raise CheckpointError(
            f"{quoted(name)} holds {info.dtype}, not floating-point numbers: quantised models are not supported."
        )


def _finite(name: str, value: np.ndarray) -> np.ndarray:
    if not np.isfinite(value).all():
        raise CheckpointError(f"{quoted(name)} holds numbers that are not finite: the checkpoint is damaged.")
    return value


def named_tensors(
    params: Any, config: ModelConfig, heads: Sequence[str] | None = None
) -> tuple[dict[str, TensorInfo], list[Callable[[], np.ndarray]]]:
    """Returns the tensors of the model of `transformers` that has the parts in `params`.

    The inverse of `read_parameters`. Positions that are not learned become a position table, so that both models
    compute the same.

    Args:
      params: the parameters.
      config: the config of the body.
      heads: the heads, with `tokens` for labels of tokens; None: those of which `params` has parameters.

    Returns:
      The shape and dtype of each tensor, and a function for each, in the same order, that makes it.

    Raises:
      CheckpointError: an array is missing, unknown, or has the wrong shape; when it is made: it is not finite.
      ConfigError: no family of Hugging Face's has the model.
    """
    family = family_of(config)
    heads = [name for name in params if name != "bert"] if heads is None else heads
    family.check_heads(config, heads)
    arrays: dict[str, Any] = dict(flax.traverse_util.flatten_dict(params, sep="/"))
    classifier = next((name for name in family.classifiers.values() if name in params), "")
    bias = arrays.get(f"{classifier}/dense/bias")
    table = family.table(family.completed(config, arrays), classifier, 0 if bias is None else bias.size)
    present = [part for part, entries in table.items() if part in BODY or any(e.ours.keys() & arrays for e in entries)]
    wanted = [entry for part in present for entry in table[part]]
    known = {name for entry in wanted for name in entry.ours}
    if unknown := sorted(arrays.keys() - known):
        raise CheckpointError(
            f"The parameters have {_some(unknown)}, which this config does not have: check the config."
        )
    if missing := [name for entry in wanted for name in entry.ours if name not in arrays]:
        raise CheckpointError(f"The parameters lack {_some(missing)}: check the config.")
    infos, makers = {}, []
    for entry in wanted:
        given = [arrays[name] for name in entry.ours]
        for (name, shape), array in zip(entry.ours.items(), given, strict=True):
            _check(name, TensorInfo(tuple(array.shape), np.dtype(array.dtype)), shape)
        for i, (name, shape) in enumerate(entry.theirs.items()):
            # The class of the body alone has no name for it.
            infos[name if heads else name.removeprefix(f"{family.base}.")] = TensorInfo(shape, FLOAT32)
            makers.append(_maker(entry, i, given))
    return infos, makers


def _maker(entry: Entry, index: int, arrays: Sequence[Any]) -> Callable[[], np.ndarray]:
    def make() -> np.ndarray:
        values = [np.asarray(array).astype(FLOAT32, copy=False) for array in arrays]
        for name, value in zip(entry.ours, values, strict=True):
            _finite(name, value)
        return np.ascontiguousarray(entry.split(values)[index])

    return make


def _some(names: list[str]) -> str:
    return quoted(names[0]) if len(names) == 1 else f"{quoted(names[0])} and {len(names) - 1} more"
