"""Batches as a pure function of (corpus, config, seed, step).

Row g of a phase is row r of some source; arithmetic gives the source (`mixture.py`) and what is in the row (`rows.py`).
So the batch of any step is made by planning one or two blocks per source. Resuming needs only the step, and each of
several processes makes only its own rows.
"""

import copy

import numpy as np

from bert_jax.batch import Batch
from bert_jax.corpus.store import Split
from bert_jax.data.assembly import assemble
from bert_jax.data.config import DataConfig, source_shares
from bert_jax.data.examples import Examples
from bert_jax.data.mixture import Mixture
from bert_jax.data.rows import SourceRows
from bert_jax.errors import CorpusError
from bert_jax.tokenization import Tokenizer


class Batches:
    """The batches of one split under one config.

    Args:
      split: the documents.
      sources: the names of its sources.
      tokenizer: for the special ids and the word beginnings.
      config: says how to make examples; its phases are ignored, see `phases.py`.
      seed: identifies this stream of batches.
      batch_size: B, the rows of the global batch.
      phase: distinguishes the streams of several phases.

    Attributes:
      first_row: the row of the phase with which the batch of step 0 begins, see `resized`.
      shares: float64 [sources], the share of rows of each source.
      unused: float64 [sources], the share of each source's tokens that an epoch does not use, estimated from some of
        its blocks; 0 for a source without documents. Pairs that are too long lose tokens, and a few rows of each block
        are left over. Both are drawn anew in each epoch.

    Raises:
      ConfigError: the corpus cannot satisfy the source weights.
      CorpusError: the split has no documents.
    """

    def __init__(
        self,
        split: Split,
        sources: tuple[str, ...],
        tokenizer: Tokenizer,
        config: DataConfig,
        seed: int,
        batch_size: int,
        phase: int = 0,
    ):
        self.split, self.sources, self.tokenizer, self.config = split, sources, tokenizer, config
        self.batch_size, self.first_row = batch_size, 0
        self._token_ids = np.asarray(split.token_ids)  # a memory map is slower to index
        parts = [split.of_source(i) for i in range(len(sources))]
        if not any(part.num_documents for part in parts):
            raise CorpusError("The corpus has a split without documents: build it again.")
        self.rows = [
            SourceRows(part, i, config, seed, phase) if part.num_documents else None for i, part in enumerate(parts)
        ]
        sizes = np.array([rows.rows_per_epoch if rows else 0 for rows in self.rows])
        self.shares = source_shares(config, sources, sizes)
        self.unused = np.array([1 - rows.used_share if rows else 0.0 for rows in self.rows])
        self._mixture = Mixture(self.shares, (seed, phase))

    @property
    def unused_share(self) -> float:
        """The share of all tokens that an epoch does not use."""
        tokens = [rows.num_tokens if rows else 0 for rows in self.rows]
        return float(np.average(self.unused, weights=tokens))

    def resized(self, batch_size: int, first_row: int) -> "Batches":
        """Returns batches of another size, of which the first begins with row `first_row` of the phase."""
        other = copy.copy(self)  # shares the blocks that are planned
        other.batch_size, other.first_row = batch_size, first_row
        return other

    def epochs(self, step: int) -> dict[str, float]:
        """How many passes over each source are complete before `step` (counted from 0)."""
        group = self.config.group_rows
        dealt = self._mixture.rows_until((self.first_row + step * self.batch_size) // group) * group
        return {
            name: float(count / rows.rows_per_epoch) if rows else 0.0
            for name, count, rows in zip(self.sources, dealt, self.rows, strict=True)
        }

    def examples(self, step: int, begin: int = 0, end: int | None = None) -> tuple[Examples, np.ndarray, np.ndarray]:
        """The examples in rows begin..end of the batch of `step`, sorted by row and slot; their rows; their slots."""
        end = self.batch_size if end is None else end
        # Rows of one group come from the same source: candidates compete within a group.
        first = self.first_row + step * self.batch_size
        group, within = np.divmod(np.arange(first + begin, first + end), self.config.group_rows)
        source, index = self._mixture.locate(group)
        index = index * self.config.group_rows + within
        parts, places = [], []
        for s in np.unique(source):
            mine = np.flatnonzero(source == s)
            examples, place = self.rows[s].take(index[mine])
            parts.append(examples)
            places.append(np.stack([mine[place[:, 0]], place[:, 1]], axis=1))
        row, slot = np.concatenate(places).T
        order = np.lexsort((slot, row))
        return Examples.concatenate(parts).take(order), row[order], slot[order]

    def batch(self, step: int, begin: int = 0, end: int | None = None) -> Batch:
        """Rows begin..end of the batch of `step` (counted from 0), as host arrays of the schema in `bert_jax.batch`.

        Raises:
          CorpusError: the corpus has changed since it was opened.
        """
        end = self.batch_size if end is None else end
        self.split.check_unchanged()
        examples, row, slot = self.examples(step, begin, end)
        made = assemble(
            examples, row, slot, end - begin, self._token_ids, self.tokenizer, self.config, len(self.sources)
        )
        self.split.check_unchanged()  # while it was made, too
        return made
