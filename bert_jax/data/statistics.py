"""Counts what batches consist of."""

import dataclasses

import numpy as np

from bert_jax.batch import real_tokens
from bert_jax.data.batches import Batches
from bert_jax.data.masking import num_predictions, wanted_predictions

SAMPLE_BATCHES = 4
SAMPLE_ROWS = 256  # of each batch, so that batches of tens of thousands of rows do not delay the start of a run


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Counts over some batches.

    Attributes:
      positions: positions in all rows, with padding.
      tokens: positions without padding.
      rows, examples: their numbers.
      predictions: predicted positions.
      wanted: positions to predict at the mask rate.
      cut: how many of these an example lost to `max_predictions`. Packing never drops any: a row only gets examples
        whose predictions it has room for.
      pairs: pairs whose label counts.
      labelled: how many of them are random or swapped.
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
    """Counts over the first `steps` batches, or the first rows of large batches."""
    config, total = batches.config, np.zeros(len(dataclasses.fields(Statistics)), np.int64)
    for step in range(steps):
        rows = min(batches.batch_size, SAMPLE_ROWS)
        batch = batches.batch(step, 0, rows)
        examples, _, _ = batches.examples(step, 0, rows)
        wanted = wanted_predictions(examples.length, config.mask_rate)
        allowed = num_predictions(examples.length, config.mask_rate, config.example_predictions)
        without_limit = num_predictions(examples.length, config.mask_rate, config.sequence_length)
        labels = batch["nsp_labels"][batch["nsp_weights"] > 0] if config.kind.question else np.zeros(0, np.int64)
        total += [
            batch["token_ids"].size,
            real_tokens(batch),
            len(batch["token_ids"]),
            len(examples),
            int(batch["masked_weights"].sum()),
            wanted.sum(),
            (without_limit - allowed).sum(),
            len(labels),
            labels.sum(),
        ]
    return Statistics(*map(int, total))


def describe(batches: Batches) -> str:
    """Describes the counts over the first batches in words."""
    facts = count(batches)
    parts = [
        f"{100 * facts.tokens / facts.positions:.1f} % real tokens",
        f"{facts.examples / facts.rows:.1f} examples per row",
        f"{100 * facts.predictions / facts.tokens:.1f} % of the tokens predicted",
        f"{100 * batches.unused_share:.1f} % of the text unused in an epoch",
    ]
    if facts.cut:
        parts.append(f"{100 * facts.cut / facts.wanted:.1f} % of the predictions cut by max_predictions")
    if facts.pairs:
        parts.append(f"{100 * facts.labelled / facts.pairs:.1f} % of the pairs {batches.config.kind.label_words[1]}")
    return ", ".join(parts)
