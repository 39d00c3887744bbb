"""Arrays of ours and the tensors elsewhere that hold the same numbers: one entry serves reading and writing."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from bert_jax.model.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class Entry:
    """One or several of our arrays, and their tensors there.

    Attributes:
      ours: shapes of the arrays, by path in the parameter tree.
      theirs: shapes of the tensors, by name.
      join: maps the tensors, in order, to the arrays.
      split: the inverse of `join`.
    """

    ours: Mapping[str, tuple[int, ...]]
    theirs: Mapping[str, tuple[int, ...]]
    join: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
    split: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def array(ours: str, theirs: str, *shape: int) -> Entry:
    """An array that is stored as it is."""
    return Entry({ours: shape}, {theirs: shape}, list, list)


def norm(ours: str, theirs: str, config: ModelConfig) -> list[Entry]:
    """A norm over the hidden width, with a bias if the model's norms have one."""
    size = config.hidden_size
    entries = [array(f"{ours}/scale", f"{theirs}.weight", size)]
    if config.norm == "layer" and config.norm_bias:
        entries.append(array(f"{ours}/bias", f"{theirs}.bias", size))
    return entries


def linear(ours: str, theirs: str, inputs: tuple[int, ...], outputs: tuple[int, ...], bias: bool = True) -> list[Entry]:
    """A kernel [*inputs, *outputs], which is a weight [outputs, inputs] there, and its bias if there is one."""
    fan_in, fan_out = prod(inputs), prod(outputs)
    kernel = Entry(
        {f"{ours}/kernel": (*inputs, *outputs)},
        {f"{theirs}.weight": (fan_out, fan_in)},
        lambda parts: [parts[0].T.reshape(*inputs, *outputs)],
        lambda arrays: [arrays[0].reshape(fan_in, fan_out).T],
    )
    if not bias:
        return [kernel]
    return [
        kernel,
        Entry(
            {f"{ours}/bias": outputs},
            {f"{theirs}.bias": (fan_out,)},
            lambda parts: [parts[0].reshape(outputs)],
            lambda arrays: [arrays[0].reshape(fan_out)],
        ),
    ]


def query_key_value(ours: str, theirs: Sequence[str], config: ModelConfig) -> list[Entry]:
    """The one kernel of queries, keys and values, [H, kv heads, group + 2, head size].

    Args:
      ours: its path.
      theirs: three names, of queries, keys and values; or one, of a tensor that has all queries, then all keys, then
        all values.
      config: the config of the model.
    """
    kv, size = config.kv_heads, config.head_size
    group = config.num_heads // kv
    rows = (config.num_heads * size, kv * size, kv * size)
    sizes = (sum(rows),) if len(theirs) == 1 else rows

    def join(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        three = np.split(parts[0], np.cumsum(rows)[:-1]) if len(theirs) == 1 else parts
        inputs = parts[0].shape[1:]
        return [np.concatenate([part.T.reshape(*inputs, kv, -1, size) for part in three], axis=-2)]

    def split(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        inputs = arrays[0].shape[:-3]
        three = [part.reshape(*inputs, -1).T for part in np.split(arrays[0], [group, group + 1], axis=-2)]
        return [np.concatenate(three)] if len(theirs) == 1 else three

    shape, inputs = (kv, group + 2, size), config.hidden_size
    weights = {f"{name}.weight": (rows, inputs) for name, rows in zip(theirs, sizes, strict=True)}
    entries = [Entry({f"{ours}/kernel": (inputs, *shape)}, weights, join, split)]
    if config.attention_bias:
        biases = {f"{name}.bias": (rows,) for name, rows in zip(theirs, sizes, strict=True)}
        entries.append(Entry({f"{ours}/bias": shape}, biases, join, split))
    return entries


def gate_and_intermediate(ours: str, theirs: str, config: ModelConfig) -> list[Entry]:
    """The two kernels of a gated block, which are one tensor there: the gate, which goes through the activation, first.

    Args:
      ours: the path of the block.
      theirs: the name of the layer.
      config: the config of the model.
    """
    size, inner = config.hidden_size, config.feed_forward_size
    names = (f"{ours}/gate", f"{ours}/intermediate")

    def join(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [part.T for part in np.split(parts[0], 2)]

    def split(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.concatenate([part.T for part in arrays])]

    kernels = {f"{name}/kernel": (size, inner) for name in names}
    entries = [Entry(kernels, {f"{theirs}.weight": (2 * inner, size)}, join, split)]
    if config.feed_forward_bias:
        biases = {f"{name}/bias": (inner,) for name in names}
        entries.append(Entry(biases, {f"{theirs}.bias": (2 * inner,)}, join, split))
    return entries
