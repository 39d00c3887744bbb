"""The fixed set of batches that a run is scored on."""

import dataclasses

import numpy as np

from bert_jax.batch import Batch
from bert_jax.data import draws
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.data.corpus import Corpus
from bert_jax.data.draws import Purpose
from bert_jax.errors import CorpusError


def evaluation_batches(corpus: Corpus, config: DataConfig, seed: int, batch_size: int, num_targets: int) -> list[Batch]:
    """A fixed set from the held-out documents: at least `num_targets` masked tokens, labels half and half.

    Only pairs whose label was drawn count for next-sentence prediction (a pair forced to be random is told by its
    length), and as many of each label: the weights of the others are 0. A small split is gone through several times,
    with other pairs and masks each time.

    Raises:
      CorpusError: the held-out documents are too few or too short for pairs.
    """
    scored = dataclasses.replace(config, examples="balanced" if config.examples == "bert" else config.examples)
    source = Batches(corpus.validation, corpus.sources, corpus.tokenizer, scored, seed, batch_size)
    batches, targets = [], 0
    while targets < num_targets:
        batches.append(source.batch(len(batches)))
        targets += int(batches[-1]["masked_weights"].sum())
    if config.examples in ("bert", "balanced", "sentence_order"):
        _balance_labels(batches, corpus, config, seed)
    return batches


def _balance_labels(batches: list[Batch], corpus: Corpus, config: DataConfig, seed: int) -> None:
    weights = np.stack([batch["nsp_weights"] for batch in batches])
    labels = np.stack([batch["nsp_labels"] for batch in batches])
    counted = [np.flatnonzero((weights.ravel() > 0) & (labels.ravel() == label)) for label in (0, 1)]
    kept = min(map(len, counted))
    if not kept:
        raise CorpusError(
            f"The {corpus.validation.num_documents} held-out documents give no sentence pairs of both kinds within"
            f" {config.sequence_length} tokens: hold out at least two documents of several sentences each, with"
            f" --validation_fraction when the corpus is prepared, or use a longer data.sequence_length."
        )
    for places in counted:
        order = draws.permutation(len(places), seed, Purpose.EVALUATION)
        weights.ravel()[places[order[kept:]]] = 0
    for batch, row in zip(batches, weights, strict=True):
        batch["nsp_weights"] = row
