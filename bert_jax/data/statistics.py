"""What batches are made of, counted."""

import dataclasses

import numpy as np

from bert_jax.data.batches import Batches
from bert_jax.data.masking import num_predictions, wanted_predictions

SAMPLE_BATCHES = 4
SAMPLE_ROWS = 256  # of each: a run that begins is not to wait for batches of tens of thousands


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Counts over some batches.

    Attributes:
      positions: of all rows, padding included.
      tokens: real ones.
      rows, examples: how many.
      predictions: positions predicted.
      wanted: positions that the mask rate asks for.
      cut: how many of these `max_predictions` forbade, because a single example had more; packing itself never drops
        any: a row only takes examples whose predictions it has room for.
      pairs: pairs whose label counts.
      labelled: how many of them are random, or swapped.
    """

    positions: int
    tokens: int
    rows: int
    examples: int
    predictions: int
    wanted: int
    cut: int
    pairs: int
    labelled: int


def count(batches: Batches, steps: int = SAMPLE_BATCHES) -> Statistics:
    """Counts the first so many batches, or of large ones the first rows."""
    config, total = batches.config, np.zeros(len(dataclasses.fields(Statistics)), np.int64)
    for step in range(steps):
        rows = min(batches.batch_size, SAMPLE_ROWS)
        batch = batches.batch(step, 0, rows)
        examples, _, _ = batches.examples(step, 0, rows)
        wanted = wanted_predictions(examples.length, config.mask_rate)
        allowed = num_predictions(examples.length, config.mask_rate, config.example_predictions)
        without_limit = num_predictions(examples.length, config.mask_rate, config.sequence_length)
        counted = batch["nsp_weights"] > 0
        total += [
            batch["token_ids"].size,
            (batch["sequence_ids"] > 0).sum(),
            len(batch["token_ids"]),
            len(examples),
            int(batch["masked_weights"].sum()),
            wanted.sum(),
            (without_limit - allowed).sum(),
            counted.sum(),
            batch["nsp_labels"][counted].sum(),
        ]
    return Statistics(*map(int, total))


def describe(batches: Batches) -> str:
    """The same in words."""
    facts = count(batches)
    parts = [
        f"{100 * facts.tokens / facts.positions:.1f} % real tokens",
        f"{facts.examples / facts.rows:.1f} examples a row",
        f"{100 * facts.predictions / facts.tokens:.1f} % of the tokens predicted",
    ]
    if facts.cut:
        parts.append(f"{100 * facts.cut / facts.wanted:.1f} % of the predictions cut by max_predictions")
    if facts.pairs and batches.config.examples != "candidates":
        kind = "swapped" if batches.config.examples == "sentence_order" else "random"
        parts.append(f"{100 * facts.labelled / facts.pairs:.1f} % of the pairs {kind}")
    return ", ".join(parts)
