"""The same examples in rows of their own."""

from collections.abc import Mapping

import numpy as np

from bert_jax.batch import CORE, Batch, Column
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs

PRETRAINING = CORE | MaskedWords().columns | SentencePairs().columns


def unpack(batch: Batch, sequence_length: int, columns: Mapping[str, Column] = PRETRAINING) -> Batch:
    """Each example in a row of its own, at the row's begin, with the number of slots kept; these columns only."""
    rows = []
    for row, ids in enumerate(batch["example_ids"]):
        for slot in range(ids.max()):
            inside = np.flatnonzero(ids == slot + 1)
            one = {}
            for name, column in columns.items():
                value, axis = batch[name][row], column.axes[1]
                if axis == "S":
                    moved, size = value[inside], sequence_length
                elif axis == "N":
                    moved, size = value[slot : slot + 1], len(value)
                else:
                    used = (batch["masked_weights"][row] > 0) & np.isin(batch["masked_positions"][row], inside)
                    moved, size = value[used], len(value)
                if name.endswith("_positions") and axis != "S":  # in the row; those that are not used may be elsewhere
                    moved = np.where(np.isin(moved, inside), moved - inside[0], 0)
                one[name] = np.zeros((1, size, *value.shape[1:]), value.dtype)
                one[name][0, : len(moved)] = moved
            one["example_ids"] = np.minimum(one["example_ids"], 1)
            rows.append(one)
    return {name: np.concatenate([row[name] for row in rows]) for name in columns}
