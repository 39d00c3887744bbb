"""Labelled texts as packed rows: a batch is a pure function of (texts, labels, config, seed, step).

An epoch has every example once. Each epoch draws anew which examples share a row. The number of rows follows from the
lengths of the examples alone, so that arithmetic finds any row.
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from bert_jax.batch import Batch
from bert_jax.data import draws, packing
from bert_jax.data.assembly import lay_out
from bert_jax.data.draws import Purpose
from bert_jax.data.texts import EncodedTexts
from bert_jax.tokenization import Tokenizer


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Texts with what is to be learned from them.

    Attributes:
      texts: the examples.
      columns: arrays [examples, …], by the name of their column [B, N, …]. Those of objects stay on the host, for
        `Objective.judge`.
      token_columns: arrays [tokens, …] beside `texts.token_ids`, by the name of their column [B, S, …]; special tokens
        get 0.
      is_framed: whether `token_ids` and `token_columns` have the [CLS] and the last [SEP] of each example too, around
        its segment.
      groups: int64 [examples], ascending: examples of a group, such as the candidates of a question, share a row. Empty
        if each example stands for itself.
    """

    texts: EncodedTexts
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    token_columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    is_framed: bool = False
    groups: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))


class Rows:
    """Labelled texts packed into rows.

    Args:
      labelled: the examples, at least one.
      tokenizer: the tokenizer of the texts.
      sequence_length: S.
      max_examples: N.
      stream: integers that identify the draws.
    """

    def __init__(
        self,
        labelled: LabelledTexts,
        tokenizer: Tokenizer,
        sequence_length: int,
        max_examples: int,
        stream: tuple[int, ...],
    ):
        self._labelled, self._texts, self._tokenizer, self._stream = labelled, labelled.texts, tokenizer, stream
        self._width, self._slots = sequence_length, max_examples
        self.plan = functools.lru_cache(maxsize=2)(self._plan)

    def __len__(self) -> int:
        """The number of rows in an epoch."""
        return len(self.plan(0))

    def _plan(self, epoch: int) -> np.ndarray:
        """The examples in each row: int64 [rows, N], -1 in unused slots."""
        lengths = self._texts.segments.length
        groups = self._labelled.groups if len(self._labelled.groups) else np.arange(len(lengths))
        starts, counts = np.unique(groups, return_index=True, return_counts=True)[1:]
        lengths = np.add.reduceat(lengths, starts)
        order = draws.permutation(len(lengths), *self._stream, epoch, Purpose.PACKING_ORDER)
        packed = packing.pack(lengths, np.zeros_like(lengths), order, self._width, 0, self._slots // int(counts.max()))
        rows = self._members(packed, starts, counts)
        return rows[draws.permutation(len(rows), *self._stream, epoch, Purpose.ROW_ORDER)]

    def _members(self, packed: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The examples in each row, given its groups; -1 in unused slots of both."""
        row, slot = np.nonzero(packed >= 0)
        groups = packed[row, slot]
        number = counts[groups]
        within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        owner = np.repeat(row, number)
        found = np.full((len(packed), self._slots), -1, np.int64)
        found[owner, np.arange(len(owner)) - np.searchsorted(owner, owner)] = np.repeat(starts[groups], number) + within
        return found

    def batch(self, chosen: np.ndarray, num_rows: int) -> Batch:
        """A batch of `num_rows` rows: the examples `chosen` [rows, N] in the form of `plan`, then empty rows."""
        row, slot = np.nonzero(chosen >= 0)
        index = chosen[row, slot]
        shape = (num_rows, self._width, self._slots)
        segments = self._texts.segments.take(index)
        rows = lay_out(segments, row, slot, shape, self._texts.token_ids, self._tokenizer)
        by_example = {k: rows.by_example(values[index], values.dtype) for k, values in self._labelled.columns.items()}
        by_token = rows.by_framed_token if self._labelled.is_framed else rows.by_token
        return rows.core() | by_example | {k: by_token(values) for k, values in self._labelled.token_columns.items()}

    def all(self) -> Batch:
        """All rows of an epoch: every example once."""
        return self.batch(self.plan(0), len(self))


@dataclasses.dataclass(frozen=True)
class OnePhase:
    """The only phase of a run with a constant batch size, see `training.task.Phase`."""

    batch_size: int
    start: int = 0

    @property
    def full_batch_size(self) -> int:
        return self.batch_size


@dataclasses.dataclass(frozen=True)
class LabelledStream:
    """Training batches of labelled rows, epoch after epoch. A `training.task.Stream`.

    Attributes:
      rows: the rows of each epoch.
      batch_size: B.
      fingerprints: hashes that identify the data.
      lines: describe the data in the log.
    """

    rows: Rows
    batch_size: int
    fingerprints: dict[str, str]
    lines: tuple[str, ...]

    @property
    def phases(self) -> tuple[OnePhase]:
        return (OnePhase(self.batch_size),)

    def batch(self, step: int, begin: int = 0, end: int | None = None) -> Batch:
        """Rows begin..end of the batch of `step` (counted from 0)."""
        end = self.batch_size if end is None else end
        wanted = np.arange(step * self.batch_size + begin, step * self.batch_size + end)
        epochs, within = np.divmod(wanted, len(self.rows))
        chosen = np.concatenate([self.rows.plan(int(e))[within[epochs == e]] for e in np.unique(epochs)])
        return self.rows.batch(chosen, end - begin)

    def epochs(self, step: int) -> dict[str, float]:
        """How many passes over the examples are complete before `step`."""
        return {"train": step * self.batch_size / len(self.rows)}

    def num_steps(self, epochs: float) -> int:
        """The number of steps for `epochs` passes."""
        return max(1, round(epochs * len(self.rows) / self.batch_size))

    def describe(self, num_steps: int) -> list[str]:
        """Describes the data of a run of `num_steps` steps, in lines."""
        rows = f"rows         {len(self.rows):,} per epoch, {self.batch_size:,} per step"
        return [*self.lines, rows, f"epochs       {self.epochs(num_steps)['train']:,.2f}"]
