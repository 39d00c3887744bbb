"""The row schema: every field of a batch, its shape and meaning. Producers and consumers meet here.

Legend, used all over the package:
  B  rows in a batch              S  tokens in a row
  N  examples a row at most       K  predicted positions a row at most
  V  vocabulary                   H  hidden size

A row holds up to N examples one after the other, then padding. Unpacked rows are the case N = 1. An example is
`[CLS] A [SEP] B [SEP]` or `[CLS] A [SEP]`; nothing in the model looks from one example into another.
"""

from typing import Any

import numpy as np

from bert_jax.errors import BertJaxError

Batch = dict[str, Any]

# name -> (axes, dtype)
FIELDS = {
    "token_ids": ("BS", np.int32),  # vocabulary ids, masking applied
    "segment_ids": ("BS", np.int32),  # 0 in [CLS] A [SEP] and padding, 1 in B [SEP]
    "sequence_ids": ("BS", np.int32),  # 1..N: which of the row's examples; 0: padding
    "position_ids": ("BS", np.int32),  # position within the example, from 0
    "masked_positions": ("BK", np.int32),  # positions in the row to predict; 0 where unused
    "masked_targets": ("BK", np.int32),  # the ids that were there
    "masked_weights": ("BK", np.float32),  # 1 used, 0 unused
    "summary_positions": ("BN", np.int32),  # position in the row of each example's [CLS]; 0 where unused
    "nsp_labels": ("BN", np.int32),  # 0: B follows A; 1: B is from elsewhere, or the segments are swapped
    "nsp_weights": ("BN", np.float32),  # 1 where the label counts, else 0
    "source_ids": ("BN", np.int32),  # index of the source that each example was taken from; 0 where unused
    "document_ids": ("BN", np.int32),  # number of the document that the example (or its A) was taken from
    "example_keys": ("BN", np.uint32),  # names an example, however it is packed: dropout draws by it
}


def shapes(sizes: dict[str, int]) -> dict[str, tuple[tuple[int, ...], type]]:
    """The shape and dtype of each field of a batch of these sizes, from axis (B, S, K, N) to length."""
    return {name: (tuple(sizes[axis] for axis in axes), dtype) for name, (axes, dtype) in FIELDS.items()}


def check(batch: Batch, vocab_size: int) -> None:
    """Checks a host batch against the schema.

    Raises:
      BertJaxError: the first field that is missing, misshapen, of another dtype or out of range.
    """
    sizes: dict[str, int] = {}
    for name, (axes, dtype) in FIELDS.items():
        if name not in batch:
            raise BertJaxError(f"The batch lacks {name}.")
        value = batch[name]
        if value.dtype != dtype or value.ndim != len(axes):
            raise BertJaxError(f"{name} is {value.dtype}{list(value.shape)}, not {np.dtype(dtype)}[{', '.join(axes)}].")
        for axis, size in zip(axes, value.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise BertJaxError(f"{name} has {axis} = {size} where other fields have {sizes[axis]}.")
    bounds = {
        "token_ids": vocab_size,
        "masked_targets": vocab_size,
        "segment_ids": 2,
        "nsp_labels": 2,
        "position_ids": sizes["S"],
        "masked_positions": sizes["S"],
        "summary_positions": sizes["S"],
        "sequence_ids": sizes["N"] + 1,
    }
    for name, bound in bounds.items():
        # JAX clamps or wraps an index out of range without a word: it must not get that far.
        if batch[name].size and not 0 <= batch[name].min() <= batch[name].max() < bound:
            raise BertJaxError(f"{name} reaches outside 0..{bound - 1}.")
