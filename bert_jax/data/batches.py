"""Batches as a pure function of (corpus, config, seed, step).

Row g of training belongs to epoch g // rows_per_epoch. An epoch visits every block once, in its own order; a block
yields a fixed number of rows, known from its tokens before it is planned. So the rows of any step are found by
arithmetic, and made by planning the one or two blocks they fall in: resuming needs the step alone, and each of several
processes makes only its own rows.
"""

import dataclasses
import functools

import numpy as np

from bert_jax.batch import Batch
from bert_jax.data import corpus as corpora
from bert_jax.data import draws, masking, packing
from bert_jax.data.blocks import Blocks
from bert_jax.data.draws import Purpose
from bert_jax.data.pairs import NUM_SPECIAL, Examples, make_pairs
from bert_jax.errors import CorpusError
from bert_jax.tokenization import WordPieceTokenizer

PAIRS = ("bert", "balanced")
# A block promises this share of the rows it is expected to give: plans differ a little from epoch to epoch.
PROMISED_SHARE = 0.97
BLOCKS_TO_ESTIMATE_FROM = 4


@dataclasses.dataclass
class DataConfig:
    """How examples are made from a corpus."""

    corpus: str = ""  # folder made by experiments.prepare_corpus
    sequence_length: int = 128  # S, tokens of a row
    pairs: str = "bert"  # bert: as released; balanced: pairs whose label was forced do not count in the NSP loss
    short_probability: float = 0.1  # share of documents cut to a random shorter length (short_seq_prob)
    mask_rate: float = 0.15  # share of an example's tokens that is predicted
    max_predictions: int | None = None  # K, predictions of a row; none: mask_rate * S, rounded up to a multiple of 4
    max_examples: int | None = None  # N, examples packed into a row; 1: no packing; none: S / 32
    prefetch: int = 2  # batches made ahead, in a thread

    @property
    def row_predictions(self) -> int:
        if self.max_predictions is not None:
            return self.max_predictions
        return -(-int(np.ceil(self.mask_rate * self.sequence_length)) // 4) * 4

    @property
    def row_examples(self) -> int:
        return max(1, self.sequence_length // 32) if self.max_examples is None else self.max_examples

    def problems(self) -> list[str]:
        """Sentences about what cannot work."""
        found = []
        if self.sequence_length < 8:
            found.append(f"data.sequence_length={self.sequence_length} leaves no room for a pair: use at least 8.")
        if self.pairs not in PAIRS:
            found.append(f"data.pairs={self.pairs!r} is not one of {', '.join(PAIRS)}.")
        if not 0 < self.mask_rate < 1:
            found.append(f"data.mask_rate={self.mask_rate} must lie between 0 and 1.")
        if not 0 <= self.short_probability <= 1:
            found.append(f"data.short_probability={self.short_probability} must lie between 0 and 1.")
        for name in ("max_predictions", "max_examples"):
            if (value := getattr(self, name)) is not None and value < 1:
                found.append(f"data.{name}={value} must be at least 1.")
        if self.prefetch < 1:
            found.append(f"data.prefetch={self.prefetch} must be at least 1.")
        return found


@dataclasses.dataclass(frozen=True)
class Plan:
    """The rows of one block in one epoch.

    Attributes:
      examples: all pairs made.
      rows: int64 [rows, N], indices into `examples`, -1 where unused.
      leftover_rows: rows that were made but not promised, and are not used this time.
    """

    examples: Examples
    rows: np.ndarray
    leftover_rows: int


class Batches:
    """The batches of one split under one config.

    Args:
      split: the documents.
      tokenizer: for the special ids.
      config: how examples are made.
      seed: names this stream of batches.
      batch_size: B, rows of the global batch.
    """

    def __init__(
        self,
        split: corpora.Split,
        tokenizer: WordPieceTokenizer,
        config: DataConfig,
        seed: int,
        batch_size: int,
    ):
        self.split, self.tokenizer, self.config = split, tokenizer, config
        self.seed, self.batch_size = seed, batch_size
        self._sentence_starts = np.asarray(split.sentence_starts)
        self._ordinary_ids = np.setdiff1d(np.arange(tokenizer.vocab_size), tokenizer.special_ids)
        self._blocks = Blocks(split, seed)
        self.block_rows = self._promise_rows()
        self.rows_per_epoch = int(self.block_rows.sum())
        self.plan = functools.lru_cache(maxsize=4)(self._plan)

    def _promise_rows(self) -> np.ndarray:
        sample = np.unique(np.linspace(0, len(self._blocks) - 1, BLOCKS_TO_ESTIMATE_FROM).astype(int))
        made = [len(self._pack(self._make_examples(0, block, 0), 0, block, 0)) for block in sample]
        rate = (made / self._blocks.tokens[sample]).min()
        return np.maximum(1, (self._blocks.tokens * rate * PROMISED_SHARE).astype(np.int64))

    def _stream(self, epoch: int, block: int, attempt: int) -> tuple[int, ...]:
        return (self.seed, epoch, block, attempt)

    def _make_examples(self, epoch, block, attempt) -> Examples:
        return make_pairs(
            self._blocks.pieces(block),
            self._sentence_starts,
            self.config.sequence_length,
            self.config.short_probability,
            self._stream(epoch, block, attempt),
        )

    def _pack(self, examples, epoch, block, attempt) -> np.ndarray:
        config, stream = self.config, self._stream(epoch, block, attempt)
        return packing.pack(
            examples.length,
            self._predictions(examples.length),
            draws.permutation(len(examples), *stream, Purpose.PACKING_ORDER),
            config.sequence_length,
            config.row_predictions,
            config.row_examples,
        )

    def _predictions(self, length) -> np.ndarray:
        return masking.num_predictions(length, self.config.mask_rate, self.config.row_predictions, NUM_SPECIAL)

    def _plan(self, epoch: int, block: int) -> Plan:
        promised = int(self.block_rows[block])
        parts, rows, count = [], [], 0
        # Normally one pass. A block poorer than the ones the promise came from is gone through again, drawn anew.
        while sum(map(len, rows)) < promised:
            examples = self._make_examples(epoch, block, len(parts))
            packed = self._pack(examples, epoch, block, len(parts))
            packed = packed[draws.permutation(len(packed), *self._stream(epoch, block, len(parts)), Purpose.ROW_ORDER)]
            rows.append(np.where(packed >= 0, packed + count, -1))
            parts.append(examples)
            count += len(examples)
        all_rows = np.concatenate(rows)
        return Plan(Examples.concatenate(parts), all_rows[:promised], len(all_rows) - promised)

    def epoch_of(self, step: int) -> float:
        """Passes over the data finished before `step` (0 is the first step)."""
        return step * self.batch_size / self.rows_per_epoch

    def batch(self, step: int, begin: int = 0, end: int | None = None) -> Batch:
        """Rows begin..end of the batch of `step` (from 0), as host arrays of the schema in `bert_jax.batch`."""
        end = self.batch_size if end is None else end
        wanted = np.arange(step * self.batch_size + begin, step * self.batch_size + end)
        epochs, within = np.divmod(wanted, self.rows_per_epoch)
        parts, rows, count = [], [], 0
        for epoch in np.unique(epochs):
            order = draws.permutation(len(self._blocks), self.seed, Purpose.BLOCK_ORDER, epoch)
            ends = np.cumsum(self.block_rows[order])
            mine = within[epochs == epoch]
            place = np.searchsorted(ends, mine, side="right")
            for index in np.unique(place):
                plan = self.plan(int(epoch), int(order[index]))
                first = ends[index] - self.block_rows[order[index]]
                chosen = plan.rows[mine[place == index] - first]
                used = chosen[chosen >= 0]
                local = np.full(chosen.shape, -1)
                local[chosen >= 0] = np.arange(len(used)) + count
                parts.append(plan.examples.take(used))
                rows.append(local)
                count += len(used)
        return self._materialise(Examples.concatenate(parts), np.concatenate(rows))

    def _materialise(self, examples: Examples, rows: np.ndarray) -> Batch:
        """Builds rows; `rows` [B, N] numbers `examples` 0, 1, … in row order, -1 where unused."""
        num_rows, num_slots = rows.shape
        sequence_length, row_predictions = self.config.sequence_length, self.config.row_predictions
        row, slot = np.nonzero(rows >= 0)  # of each example
        length, a_length = examples.length, examples.a_length
        start = _offsets_within_rows(length, row, slot, rows.shape)

        # Every token of every example, one after the other.
        first = np.cumsum(length) - length
        position = np.arange(length.sum()) - np.repeat(first, length)
        place = np.repeat(row * sequence_length + start, length) + position
        in_b = position > np.repeat(a_length + 1, length)
        origin = position + np.where(
            in_b,
            np.repeat(examples.b_start - a_length - 2, length),
            np.repeat(examples.a_start - 1, length),
        )
        separator, last = first + a_length + 1, first + length - 1
        special = np.concatenate([first, separator, last])
        origin[special] = 0  # any valid place: overwritten next
        tokens = self.split.token_ids[origin].astype(np.int32)
        tokens[first] = self.tokenizer.cls_id
        tokens[separator] = tokens[last] = self.tokenizer.sep_id

        counts = self._predictions(length)
        masks = masking.choose(examples.key, a_length, length, counts, sequence_length)
        masked = first[masks.example] + masks.position
        targets = tokens[masked]
        tokens[masked] = masking.replacements(masks, examples.key, targets, self.tokenizer, self._ordinary_ids)

        def by_token(values, fill=0):
            array = np.full(num_rows * sequence_length, fill, np.int32)
            array[place] = values
            return array.reshape(num_rows, sequence_length)

        slot_start = _offsets_within_rows(counts, row, slot, rows.shape)
        rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        prediction_place = np.repeat(row * row_predictions + slot_start, counts) + rank

        def by_prediction(values, dtype):
            array = np.zeros(num_rows * row_predictions, dtype)
            array[prediction_place] = values
            return array.reshape(num_rows, row_predictions)

        def by_example(values, dtype):
            array = np.zeros((num_rows, num_slots), dtype)
            array[row, slot] = values
            return array

        counted = examples.is_free if self.config.pairs == "balanced" else examples.is_true
        return {
            "token_ids": by_token(tokens, self.tokenizer.pad_id),
            "segment_ids": by_token(in_b),
            "sequence_ids": by_token(np.repeat(slot + 1, length)),
            "position_ids": by_token(position),
            "masked_positions": by_prediction(start[masks.example] + masks.position, np.int32),
            "masked_targets": by_prediction(targets, np.int32),
            "masked_weights": by_prediction(1, np.float32),
            "summary_positions": by_example(start, np.int32),
            "nsp_labels": by_example(examples.is_random, np.int32),
            "nsp_weights": by_example(counted, np.float32),
            "example_keys": by_example(examples.key, np.uint32),
        }


def _offsets_within_rows(sizes, row, slot, shape) -> np.ndarray:
    """Where each example's share begins within its row, given the sizes of all."""
    table = np.zeros(shape, np.int64)
    table[row, slot] = sizes
    return (np.cumsum(table, axis=1) - table)[row, slot]


def evaluation_batches(
    corpus: corpora.Corpus, config: DataConfig, seed: int, batch_size: int, num_targets: int
) -> list[Batch]:
    """A fixed set from the held-out documents: at least `num_targets` masked tokens, labels half and half.

    Only pairs whose label was drawn count for next-sentence prediction (a pair forced to be random is told by its
    length), and as many of each label: the weights of the others are 0. A small split is gone through several times,
    with other pairs and masks each time.

    Raises:
      CorpusError: the held-out documents are too few or too short for pairs.
    """
    source = Batches(
        corpus.validation, corpus.tokenizer, dataclasses.replace(config, pairs="balanced"), seed, batch_size
    )
    batches, targets = [], 0
    while targets < num_targets:
        batches.append(source.batch(len(batches)))
        targets += int(batches[-1]["masked_weights"].sum())
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
    return batches
