"""The fixed set of held-out rows that a run is scored on."""

import numpy as np

from bert_jax.batch import Batch
from bert_jax.corpus.store import Corpus
from bert_jax.data import draws
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig, HeldOutConfig
from bert_jax.data.draws import Purpose
from bert_jax.data.pairs import check_pairs
from bert_jax.errors import CorpusError

_MEND = (
    "Hold out at least two documents of several sentences each (with --validation_fraction, when you build the corpus),"
    " use a longer data.sequence_length"
)


def held_out_config(config: DataConfig, held_out: HeldOutConfig) -> DataConfig:
    """Returns how to make the held-out examples.

    Training decides what they are: their kind, their length and, for candidates, the size of a group. All else has the
    default of `DataConfig`, so that runs that differ in it (masks, weights of sources, packing) are scored on the same
    set.
    """
    return DataConfig(
        examples=config.kind.scored_as,
        sequence_length=config.sequence_length,
        nsp_group_size=config.nsp_group_size,
        mask_rate=held_out.mask_rate,
    )


def held_out_rows(corpus: Corpus, config: DataConfig, held_out: HeldOutConfig) -> Batch:
    """Makes the rows of the held-out set: as few as have `held_out.num_targets` masked tokens, up to a group of rows.

    For next-sentence prediction, only pairs whose label was drawn count (a forced label shows in the length), and
    equally many of each label; the weights of the others are 0. A small split is used several times, with different
    pairs and masks each time. Candidates compete within groups of consecutive rows, from the first row on: cut the set
    into batches between groups.

    Raises:
      CorpusError: the held-out documents are too few, too short or too uniform to score anything.
    """
    scored = held_out_config(config, held_out)
    group = scored.group_rows
    source = Batches(corpus.validation, corpus.sources, corpus.tokenizer, scored, held_out.seed, group)
    if np.count_nonzero(corpus.validation.token_counts) < 2:
        word = corpus.tokenizer.vocabulary[int(corpus.validation.token_counts.argmax())]
        raise CorpusError(
            f"Every token of the held-out documents is {word!r}, so that predicting it shows nothing: build the corpus"
            " with a vocabulary that fits the text."
        )
    check_pairs(source, "held-out", _MEND)
    parts, rows, missing = [], 0, held_out.num_targets
    while missing > 0:
        # No row has more than K targets, so this many rows overshoot by less than a group. Each row has at least one.
        count = -(-missing // (group * scored.row_predictions)) * group
        parts.append(source.batch(0, rows, rows + count))
        rows += count
        missing -= int(parts[-1]["masked_weights"].sum())
    batch = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if config.kind.question:
        _balance_labels(batch, held_out.num_targets, held_out.seed)
    return batch


def _balance_labels(batch: Batch, num_targets: int, seed: int) -> None:
    weights, labels = batch["nsp_weights"], batch["nsp_labels"]
    counted = [np.flatnonzero((weights.ravel() > 0) & (labels.ravel() == label)) for label in (0, 1)]
    kept = min(map(len, counted))
    if not kept:
        raise CorpusError(
            f"With eval.num_targets={num_targets}, the held-out set has no pairs of both labels: raise it, hold out"
            " more documents of several sentences, or use a longer data.sequence_length."
        )
    for places in counted:
        order = draws.permutation(len(places), seed, Purpose.EVALUATION)
        weights.ravel()[places[order[kept:]]] = 0
