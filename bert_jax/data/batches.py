"""Batches as a pure function of (corpus, config, seed, step).

Row g of a phase belongs to a source (`mixture.py`), where it is row r of that source (`rows.py`): both are found by
arithmetic. So the batch of any step is made by planning one or two blocks a source: resuming needs the step alone, and
each of several processes makes only its own rows.
"""

import numpy as np

from bert_jax.batch import Batch
from bert_jax.data import corpus as corpora
from bert_jax.data.assembly import assemble
from bert_jax.data.config import DataConfig, source_shares
from bert_jax.data.examples import Examples
from bert_jax.data.mixture import MAX_SOURCES, Mixture
from bert_jax.data.rows import SourceRows
from bert_jax.errors import CorpusError
from bert_jax.tokenization import Tokenizer


class Batches:
    """The batches of one split under one config.

    Args:
      split: the documents.
      sources: names of its sources.
      tokenizer: for the special ids and the beginnings of words.
      config: how examples are made; its phases are not looked at, see `phases.py`.
      seed: names this stream of batches.
      batch_size: B, rows of the global batch.
      phase: tells the streams of several phases apart.

    Attributes:
      shares: float64 [sources], of the rows.

    Raises:
      ConfigError: source weights that the corpus cannot meet.
      CorpusError: a split without documents, or more sources than can be mixed.
    """

    def __init__(
        self,
        split: corpora.Split,
        sources: tuple[str, ...],
        tokenizer: Tokenizer,
        config: DataConfig,
        seed: int,
        batch_size: int,
        phase: int = 0,
    ):
        if len(sources) > MAX_SOURCES:
            raise CorpusError(f"The corpus has {len(sources)} sources, {MAX_SOURCES} can be mixed: join some of them.")
        self.split, self.sources, self.tokenizer, self.config = split, sources, tokenizer, config
        self.batch_size = batch_size
        self._token_ids = np.asarray(split.token_ids)  # a memory map is slower to index
        parts = [split.of_source(i) for i in range(len(sources))]
        if not any(part.num_documents for part in parts):
            raise CorpusError("The corpus has a split without documents: prepare it anew.")
        self.rows = [
            SourceRows(part, i, config, seed, phase) if part.num_documents else None for i, part in enumerate(parts)
        ]
        sizes = np.array([rows.rows_per_epoch if rows else 0 for rows in self.rows])
        self.shares = source_shares(config, sources, sizes)
        self._mixture = Mixture(self.shares, (seed, phase))

    def epochs(self, step: int) -> dict[str, float]:
        """For each source, passes over it that are finished before `step` (0 is the first step)."""
        group = self.config.group_rows
        dealt = self._mixture.rows_until(step * self.batch_size // group) * group
        return {
            name: float(count / rows.rows_per_epoch) if rows else 0.0
            for name, count, rows in zip(self.sources, dealt, self.rows, strict=True)
        }

    def examples(self, step: int, begin: int = 0, end: int | None = None) -> tuple[Examples, np.ndarray, np.ndarray]:
        """The examples in rows begin..end of the batch of `step`: sorted by row and slot; row and slot of each."""
        end = self.batch_size if end is None else end
        # Rows that belong together are dealt together: a row's rivals are of its own source.
        group, within = np.divmod(
            np.arange(step * self.batch_size + begin, step * self.batch_size + end), self.config.group_rows
        )
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
        """Rows begin..end of the batch of `step` (from 0), as host arrays of the schema in `bert_jax.batch`."""
        end = self.batch_size if end is None else end
        examples, row, slot = self.examples(step, begin, end)
        return assemble(examples, row, slot, end - begin, self._token_ids, self.tokenizer, self.config)
