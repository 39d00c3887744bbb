"""Parameters from named tensors, and back, one tensor at a time; `names.py` says which is which."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from bert_jax.errors import CheckpointError, ConfigError, quoted
from bert_jax.interop.hugging_face_config import check_expressible
from bert_jax.interop.names import BODY, FAMILIES, TWINS, Entry, Family, canonical_names, name_table, num_layers
from bert_jax.interop.tensors import TensorFile, TensorInfo
from bert_jax.model.config import ModelConfig
from bert_jax.model.positions import fixed_positions

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
    family: Family = FAMILIES["bert"],
    parts: tuple[str, ...] | None = None,
    classifier: str = "label",
) -> dict[str, Any]:
    """Reads all parameters of a model, as a tree; see `open_parameters`."""
    opened = open_parameters(file, config, family, parts, classifier)
    return flax.traverse_util.unflatten_dict({name: opened.read(name) for name in opened.shapes}, sep="/")


def open_parameters(
    file: TensorFile,
    config: ModelConfig,
    family: Family = FAMILIES["bert"],
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
      classifier: whether the file's `classifier` is a `label` or a `choice`. The tensors of a choice are also those of
        a single label.

    Returns:
      The parameters of a `bert_jax.model.composite.Composite` with heads of these names.

    Raises:
      CheckpointError: a tensor is missing, unknown, or duplicate.
      ConfigError: Hugging Face's BERT does not support the config.
    """
    check_expressible(config)
    if config.positions != "learned":
        raise ConfigError(
            f"model.positions={config.positions} has no position table to read into: use model.positions=learned."
        )
    names = canonical_names(file.infos, family)
    twins = {twin: names.pop(twin) for twin in TWINS if twin in names}
    for twin, name in TWINS.items():
        if twin in twins:
            names.setdefault(name, twins[twin])
    # First, because the table of a config with 100,000 layers would take minutes.
    if (found := num_layers(names)) != config.num_layers:
        raise CheckpointError(
            f"The weights have {found} layers, but the config has num_hidden_layers={config.num_layers}: one of them"
            " belongs to another model."
        )
    table = name_table(config, _num_labels(file, names), family, classifier)
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
    entries = {entry.ours: entry for entry in wanted}
    shapes = {name: entry.our_shape for name, entry in entries.items()}
    # An array without a tensor, the token types of a family that has none, is made here.
    dtypes = {
        name: file.infos[names[entry.theirs[0]]].dtype if entry.theirs else FLOAT32 for name, entry in entries.items()
    }
    return FileParameters(shapes, dtypes, lambda name: _read_entry(file, entries[name], names, twins))


def _num_labels(file: TensorFile, names: Mapping[str, str]) -> int:
    shape = file.infos[names["classifier.bias"]].shape if "classifier.bias" in names else ()
    return shape[0] if len(shape) == 1 else 0


def _read_entry(file: TensorFile, entry: Entry, names: Mapping[str, str], twins: Mapping[str, str]) -> np.ndarray:
    found = [_read_float32(file, names[name], entry.their_shape) for name in entry.theirs]
    for twin, name in TWINS.items():
        copy = twins.get(twin, "")
        if name not in entry.theirs or copy in ("", names[name]):
            continue
        if not np.array_equal(found[0], _read_float32(file, copy, entry.their_shape)):
            raise CheckpointError(
                f"{quoted(copy)} is not equal to {quoted(names[name])}: models with a separate output table are not"
                " supported."
            )
    return np.ascontiguousarray(entry.join(found))


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


def named_tensors(params: Any, config: ModelConfig) -> tuple[dict[str, TensorInfo], list[Callable[[], np.ndarray]]]:
    """Returns the tensors of `BertForPreTraining`, or of the model whose parts are in `params`.

    The inverse of `read_parameters`. Positions that are not learned become a position table, so that both models
    compute the same.

    Returns:
      The shape and dtype of each tensor, and a function for each, in the same order, that makes it.

    Raises:
      CheckpointError: an array is missing, unknown, or has the wrong shape; when it is made: it is not finite.
      ConfigError: Hugging Face's BERT does not support the model.
    """
    check_expressible(config)
    arrays: dict[str, Any] = dict(flax.traverse_util.flatten_dict(params, sep="/"))
    if config.positions != "learned":
        arrays["bert/embeddings/position"] = _position_table(config)
    classifier = "choice" if "choice" in params else "label"
    for head in ("nsp", classifier):
        if head in params and config.pooling != "cls":
            rest = sorted(params.keys() - {"bert", "nsp", "label", "choice"})
            leave_out = f", or write the others alone: heads={','.join(rest)}" if rest else ""
            raise ConfigError(
                f"Hugging Face's BERT pools by the first token, but the head {head!r} reads model.pooling="
                f"{config.pooling}: to export it, train with model.pooling=cls{leave_out}."
            )
    bias = arrays.get("label/dense/bias")
    table = name_table(config, 0 if bias is None else bias.size, classifier=classifier)
    present = [part for part, entries in table.items() if part in BODY or any(e.ours in arrays for e in entries)]
    wanted = [entry for part in present for entry in table[part]]
    if unknown := sorted(arrays.keys() - {entry.ours for entry in wanted}):
        raise CheckpointError(
            f"The parameters have {_some(unknown)}, which this config does not have: check the config."
        )
    if missing := [entry.ours for entry in wanted if entry.ours not in arrays]:
        raise CheckpointError(f"The parameters lack {_some(missing)}: check the config.")
    prefix = "" if set(present) <= {*BODY, "pooler"} else "bert."  # as in `BertModel`, which is the body alone
    infos, makers = {}, []
    for entry in wanted:
        array = arrays[entry.ours]
        _check(entry.ours, TensorInfo(tuple(array.shape), np.dtype(array.dtype)), entry.our_shape)
        for i, name in enumerate(entry.theirs):
            infos[name.replace("bert.", prefix, 1)] = TensorInfo(entry.their_shape, FLOAT32)
            makers.append(_maker(entry, i, array))
    return infos, makers


def _maker(entry: Entry, index: int, array: Any) -> Callable[[], np.ndarray]:
    def make() -> np.ndarray:
        value = np.asarray(array).astype(FLOAT32, copy=False)
        return np.ascontiguousarray(_finite(entry.ours, entry.split(value)[index]))

    return make


def _position_table(config: ModelConfig) -> np.ndarray:
    if config.positions == "sinusoidal":
        return np.asarray(fixed_positions(config, jnp.arange(config.max_positions)))
    return np.zeros((config.max_positions, config.hidden_size), FLOAT32)


def _some(names: list[str]) -> str:
    return quoted(names[0]) if len(names) == 1 else f"{quoted(names[0])} and {len(names) - 1} more"
