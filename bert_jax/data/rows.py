"""An endless sequence of packed rows of one source, any of which arithmetic finds.

An epoch visits every block of the source once, in a random order. A block yields a fixed number of rows, which is known
from its tokens before it is planned. So to make a row, only its own block has to be planned.
"""

import dataclasses
import functools

import numpy as np

from bert_jax.corpus.store import Split
from bert_jax.data import draws, masking, packing
from bert_jax.data.blocks import Blocks
from bert_jax.data.config import DataConfig
from bert_jax.data.draws import Purpose
from bert_jax.data.examples import Examples, make_examples, split_pairs

# A block promises this share of its expected rows, because plans differ a little from epoch to epoch.
PROMISED_SHARE = 0.97
BLOCKS_TO_ESTIMATE_FROM = 4


@dataclasses.dataclass(frozen=True)
class Plan:
    """The rows of one block in one epoch.

    Attributes:
      examples: all examples of the block.
      rows: int64 [rows, N], indices into `examples`, -1 in unused slots.
      leftover_rows: the number of rows beyond the promised ones, which are not used in this epoch.
    """

    examples: Examples
    rows: np.ndarray
    leftover_rows: int

    def used_tokens(self) -> int:
        """The number of tokens of the text that are in the rows, each counted once."""
        return self.examples.take(self.rows[self.rows >= 0]).distinct_tokens()


class SourceRows:
    """The rows of one source under one config.

    Args:
      split: the documents of this source alone.
      source: its index.
      config: says how to make examples.
      seed: decides the split into blocks, which is the same in every phase.
      phase: identifies all other draws, together with the seed.

    Attributes:
      num_tokens: the number of tokens in the documents.
      block_rows: int64 [blocks], the rows of each block.
      rows_per_epoch: their sum.
      used_share: the share of the tokens that the first epoch uses, in a sample of the blocks.
    """

    def __init__(self, split: Split, source: int, config: DataConfig, seed: int, phase: int):
        self._config, self._source = config, source
        self._stream = (seed, phase, source)
        self._blocks = Blocks(split, seed)
        self.num_tokens = split.num_tokens
        self._sample = np.unique(np.linspace(0, len(self._blocks) - 1, BLOCKS_TO_ESTIMATE_FROM).astype(int)).tolist()
        self._first_rows = functools.cache(lambda block: self._make_rows(0, block, 0))
        self.block_rows = self._promise_rows()
        self.rows_per_epoch = int(self.block_rows.sum())
        self.plan = functools.lru_cache(maxsize=2)(self._plan)
        self._order = functools.lru_cache(maxsize=2)(self._order_of)
        self.used_share = sum(self._plan(0, block).used_tokens() for block in self._sample) / int(
            self._blocks.tokens[self._sample].sum()
        )
        self._first_rows.cache_clear()

    def _promise_rows(self) -> np.ndarray:
        made = sum(len(self._first_rows(block)[1]) for block in self._sample)
        rate = made / self._blocks.tokens[self._sample].sum()
        return np.maximum(1, (self._blocks.tokens * rate * PROMISED_SHARE).astype(np.int64))

    def _make_rows(self, epoch, block, attempt) -> tuple[Examples, np.ndarray]:
        """Makes examples and rows of them, as in `Plan` but in the order of packing."""
        examples = make_examples(
            self._blocks.pieces(block),
            self._blocks.sentence_starts,
            self._config.kind.make,
            self._config.sequence_length - self._config.kind.special_tokens,
            self._config.short_probability,
            self._source,
            (*self._stream, epoch, block, attempt),
        )
        config = self._config
        if config.kind.is_split:
            return split_pairs(examples)
        return examples, packing.pack(
            examples.length,
            masking.num_predictions(examples.length, config.mask_rate, config.row_predictions),
            draws.permutation(len(examples), *self._stream, epoch, block, attempt, Purpose.PACKING_ORDER),
            config.sequence_length,
            config.row_predictions,
            config.row_examples,
        )

    def _plan(self, epoch: int, block: int) -> Plan:
        promised = int(self.block_rows[block])
        parts, rows, count = [], [], 0
        # Normally one pass. A block that yields fewer rows than promised gets another pass with new draws.
        while sum(map(len, rows)) < promised:
            attempt = len(parts)
            examples, packed = self._make_rows(epoch, block, attempt)
            order = draws.permutation(len(packed), *self._stream, epoch, block, attempt, Purpose.ROW_ORDER)
            rows.append(np.where(packed >= 0, packed + count, -1)[order])
            parts.append(examples)
            count += len(examples)
        all_rows = np.concatenate(rows)
        return Plan(Examples.concatenate(parts), all_rows[:promised], len(all_rows) - promised)

    def _order_of(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of the blocks in an epoch, and the number of rows up to the end of each."""
        order = draws.permutation(len(self._blocks), *self._stream, Purpose.BLOCK_ORDER, epoch)
        return order, np.cumsum(self.block_rows[order])

    def take(self, wanted: np.ndarray) -> tuple[Examples, np.ndarray]:
        """Makes rows, given their indices, counted from 0 over all epochs.

        Returns:
          The examples in the rows, and the row (an index into `wanted`) and slot of each, int64 [examples, 2].
        """
        epochs, within = np.divmod(wanted, self.rows_per_epoch)
        parts, places = [], []
        for epoch in np.unique(epochs):
            order, ends = self._order(int(epoch))
            in_block = np.searchsorted(ends, within, side="right")
            for index in np.unique(in_block[epochs == epoch]):
                mine = np.flatnonzero((epochs == epoch) & (in_block == index))
                plan = self.plan(int(epoch), int(order[index]))
                chosen = plan.rows[within[mine] - (ends[index] - self.block_rows[order[index]])]
                row, slot = np.nonzero(chosen >= 0)
                parts.append(plan.examples.take(chosen[row, slot]))
                places.append(np.stack([mine[row], slot], axis=1))
        return Examples.concatenate(parts), np.concatenate(places)
