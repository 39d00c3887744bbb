"""The fixed set of held-out batches that a run is scored on."""

import dataclasses

import numpy as np

from bert_jax.batch import Batch
from bert_jax.corpus.store import Corpus
from bert_jax.data import draws
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig, HeldOutConfig
from bert_jax.data.draws import Purpose
from bert_jax.errors import CorpusError


def evaluation_batches(corpus: Corpus, config: DataConfig, held_out: HeldOutConfig, batch_size: int) -> list[Batch]:
    """Makes a fixed set from the held-out documents, with at least `held_out.num_targets` masked tokens.

    For next-sentence prediction, only pairs whose label was drawn count (a forced label shows in the length), and
    equally many of each label; the weights of the others are 0. A small split is used several times, with different
    pairs and masks each time.

    Raises:
      CorpusError: the held-out documents are too few or too short for pairs.
    """
    released = DataConfig()
    scored = dataclasses.replace(
        config,
        examples=config.kind.scored_as,
        # Masked by token and at its own rate, so that runs with different masking compare.
        mask_rate=held_out.mask_rate,
        masking=released.masking,
        mask_share=released.mask_share,
        random_share=released.random_share,
    )
    source = Batches(corpus.validation, corpus.sources, corpus.tokenizer, scored, held_out.seed, batch_size)
    batches, targets = [], 0
    while targets < held_out.num_targets:
        batches.append(source.batch(len(batches)))
        targets += int(batches[-1]["masked_weights"].sum())
    if config.kind.question:
        _balance_labels(batches, corpus, config, held_out.seed)
    return batches


def _balance_labels(batches: list[Batch], corpus: Corpus, config: DataConfig, seed: int) -> None:
    weights = np.stack([batch["nsp_weights"] for batch in batches])
    labels = np.stack([batch["nsp_labels"] for batch in batches])
    counted = [np.flatnonzero((weights.ravel() > 0) & (labels.ravel() == label)) for label in (0, 1)]
    kept = min(map(len, counted))
    if not kept:
        raise CorpusError(
            f"The {corpus.validation.num_documents} held-out documents give no sentence pairs of both kinds within"
            f" {config.sequence_length} tokens: hold out at least two documents of several sentences each (with"
            f" --validation_fraction, when you build the corpus), or use a longer data.sequence_length."
        )
    for places in counted:
        order = draws.permutation(len(places), seed, Purpose.EVALUATION)
        weights.ravel()[places[order[kept:]]] = 0
    for batch, row in zip(batches, weights, strict=True):
        batch["nsp_weights"] = row
