"""The packed rows of one source: as many as are asked for, each found by arithmetic.

An epoch visits every block of the source once, in its own order; a block yields a fixed number of rows, known from its
tokens before it is planned. So any row is made by planning the one block it falls in.
"""

import dataclasses
import functools

import numpy as np

from bert_jax.data import draws, masking, packing
from bert_jax.data.blocks import Blocks
from bert_jax.data.config import DataConfig
from bert_jax.data.corpus import Split
from bert_jax.data.draws import Purpose
from bert_jax.data.examples import Examples, make_examples, split_pairs

# A block promises this share of the rows it is expected to give: plans differ a little from epoch to epoch.
PROMISED_SHARE = 0.97
BLOCKS_TO_ESTIMATE_FROM = 4


@dataclasses.dataclass(frozen=True)
class Plan:
    """The rows of one block in one epoch.

    Attributes:
      examples: all that were made.
      rows: int64 [rows, N], indices into `examples`, -1 where unused.
      leftover_rows: rows that were made but not promised, and are not used this time.
    """

    examples: Examples
    rows: np.ndarray
    leftover_rows: int


class SourceRows:
    """The rows of one source under one config.

    Args:
      split: the documents of this source alone.
      source: its index.
      config: how examples are made.
      seed: decides the cut into blocks, the same in every phase.
      phase: with the seed, names the draws of everything else.
    """

    def __init__(self, split: Split, source: int, config: DataConfig, seed: int, phase: int):
        self._config, self._source = config, source
        self._stream = (seed, phase, source)
        self._sentence_starts = np.asarray(split.sentence_starts)
        self._blocks = Blocks(split, seed)
        self.block_rows = self._promise_rows()
        self.rows_per_epoch = int(self.block_rows.sum())
        self.plan = functools.lru_cache(maxsize=2)(self._plan)
        self._order = functools.lru_cache(maxsize=2)(self._order_of)

    def _promise_rows(self) -> np.ndarray:
        sample = np.unique(np.linspace(0, len(self._blocks) - 1, BLOCKS_TO_ESTIMATE_FROM).astype(int))
        made = [len(self._make_rows(0, block, 0)[1]) for block in sample]
        rate = (made / self._blocks.tokens[sample]).min()
        return np.maximum(1, (self._blocks.tokens * rate * PROMISED_SHARE).astype(np.int64))

    def _make_rows(self, epoch, block, attempt) -> tuple[Examples, np.ndarray]:
        """Examples, and rows of them as in `Plan`, in the order of packing."""
        examples = make_examples(
            self._blocks.pieces(block),
            self._sentence_starts,
            self._config.examples,
            self._config.sequence_length,
            self._config.short_probability,
            self._source,
            (*self._stream, epoch, block, attempt),
        )
        config = self._config
        if config.examples == "candidates":
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
        # Normally one pass. A block poorer than the ones the promise came from is gone through again, drawn anew.
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
        """The order of the blocks in an epoch, and how many rows there are up to the end of each."""
        order = draws.permutation(len(self._blocks), *self._stream, Purpose.BLOCK_ORDER, epoch)
        return order, np.cumsum(self.block_rows[order])

    def take(self, wanted: np.ndarray) -> tuple[Examples, np.ndarray]:
        """Some rows, by their numbers from 0 on over all epochs.

        Returns:
          The examples in them, in the order of `wanted`, and which row (an index into `wanted`) and slot each is in,
          int64 [examples, 2].
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
