"""The row schema: the columns of every batch, whatever is learned from it. Data and model agree on it here.

Legend, used throughout the package:
  B  rows in a batch              S  tokens in a row
  N  examples in a row, at most   K  predicted positions in a row, at most
  V  vocabulary                   H  hidden size                 C  labels

A row holds up to N examples, one after the other, followed by padding. Unpacked rows are the case N = 1. An example is
`[CLS] A [SEP] B [SEP]` or `[CLS] A [SEP]`. Nothing in the model looks from one example into another.

Each objective adds its own columns; see `bert_jax.objectives`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bert_jax.errors import BertJaxError

Batch = dict[str, Any]


class Column(NamedTuple):
    """One array of a batch.

    Attributes:
      axes: one letter of the legend for each axis.
      dtype: of the elements.
      below: elements are at least 0 and below this: a number, an axis, or `N + 1`. None if any value may occur.
    """

    axes: str
    dtype: type
    below: int | str | None = None


CORE = {
    "token_ids": Column("BS", np.int32, "V"),  # vocabulary ids, after masking
    "token_type_ids": Column("BS", np.int32, "T"),  # 0 in [CLS] A [SEP] and padding, 1 in B [SEP]
    "example_ids": Column("BS", np.int32, "N + 1"),  # 1..N: which example of the row; 0: padding
    "position_ids": Column("BS", np.int32, "S"),  # position within the example, from 0
    "cls_positions": Column("BN", np.int32, "S"),  # position of each example's [CLS] in the row; 0 if unused
    "example_keys": Column("BN", np.uint32),  # identifies an example however it is packed; dropout is drawn from it
}


def shapes(columns: Mapping[str, Column], sizes: Mapping[str, int]) -> dict[str, tuple[tuple[int, ...], type]]:
    """Returns the shape and dtype of each column; `sizes` maps axes (B, S, …) to lengths."""
    return {name: (tuple(sizes[axis] for axis in column.axes), column.dtype) for name, column in columns.items()}


def zeros(columns: Mapping[str, Column], sizes: Mapping[str, int]) -> Batch:
    """Returns a batch of these sizes filled with zeros, for use where only shapes matter."""
    return {name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes(columns, sizes).items()}


def check(batch: Batch, columns: Mapping[str, Column], sizes: Mapping[str, int]) -> None:
    """Checks a host batch against the columns it must have.

    Args:
      batch: may have further columns, which are ignored.
      columns: `CORE` and the columns of the objectives.
      sizes: the sizes that no array shows: V, and T, the number of token types.

    Raises:
      BertJaxError: a column is missing, has the wrong shape or dtype, or holds values out of range.
    """
    found = dict(sizes)
    for name, (axes, dtype, _) in columns.items():
        if name not in batch:
            raise BertJaxError(f"The batch lacks the column {name}.")
        value = batch[name]
        if value.dtype != dtype or value.ndim != len(axes):
            raise BertJaxError(f"{name} is {value.dtype}{list(value.shape)}, not {np.dtype(dtype)}[{', '.join(axes)}].")
        for axis, size in zip(axes, value.shape, strict=True):
            if found.setdefault(axis, size) != size:
                raise BertJaxError(f"{name} has {axis} = {size}, but other columns have {axis} = {found[axis]}.")
    found["N + 1"] = found["N"] + 1
    for name, (_, _, below) in columns.items():
        if below is None or not batch[name].size:
            continue
        bound = found[below] if isinstance(below, str) else below
        # JAX silently clamps or wraps an index that is out of range.
        if not 0 <= batch[name].min() <= batch[name].max() < bound:
            raise BertJaxError(f"{name} has values outside 0..{bound - 1}.")


def on_device(batch: Batch) -> Batch:
    """Returns the columns of numbers. Columns of objects, such as texts to compare with, stay on the host."""
    return {name: value for name, value in batch.items() if value.dtype != object}


def real_tokens(batch: Batch) -> int:
    """Returns the number of tokens that are not padding."""
    return int((batch["example_ids"] > 0).sum())


def cut(batch: Batch, size: int) -> list[Batch]:
    """Cuts a host batch into batches of `size` rows. The last one is filled with empty rows, in which all is zero."""

    def part(value: np.ndarray, begin: int) -> np.ndarray:
        rows = value[begin : begin + size]
        return np.concatenate([rows, np.zeros((size - len(rows), *value.shape[1:]), value.dtype)])

    starts = range(0, len(batch["example_ids"]), size)
    return [{name: part(value, begin) for name, value in batch.items()} for begin in starts]
