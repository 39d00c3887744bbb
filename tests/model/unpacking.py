"""The same examples in rows of their own."""

import numpy as np


def unpack(batch, sequence_length):
    """Each example in a row of its own, at the row's begin, with the number of slots kept."""
    rows = []
    for row in range(len(batch["token_ids"])):
        for slot in range(batch["sequence_ids"][row].max()):
            inside = np.flatnonzero(batch["sequence_ids"][row] == slot + 1)
            used = (batch["masked_weights"][row] > 0) & np.isin(batch["masked_positions"][row], inside)
            one = {name: np.zeros_like(batch[name][:1]) for name in batch}
            for name in ("token_ids", "segment_ids", "position_ids", "sequence_ids"):
                one[name] = np.zeros((1, sequence_length), batch[name].dtype)
                one[name][0, : len(inside)] = batch[name][row, inside]
            one["sequence_ids"] = np.minimum(one["sequence_ids"], 1)
            for name in ("masked_positions", "masked_targets", "masked_weights"):
                one[name][0, : used.sum()] = batch[name][row, used]
            one["masked_positions"][0, : used.sum()] -= inside[0]
            for name in ("nsp_labels", "nsp_weights", "source_ids", "example_keys"):
                one[name][0, 0] = batch[name][row, slot]
            rows.append(one)
    return {name: np.concatenate([row[name] for row in rows]) for name in batch}
