"""Turns examples into the arrays of a batch, without a loop over rows or tokens.

Arrays are laid out over the positions of the batch, row after row. Each position knows its segment: an example has two,
and the second one is empty if there is no B. What a position holds follows from its segment by one sum or lookup.
"""

import dataclasses

import numpy as np

from bert_jax.batch import Batch
from bert_jax.data import masking
from bert_jax.data.config import DataConfig
from bert_jax.data.examples import Examples, Segments
from bert_jax.data.masking import Tokens
from bert_jax.tokenization import Tokenizer


@dataclasses.dataclass(frozen=True)
class Rows:
    """Examples laid out in rows, before masking.

    Attributes:
      row, slot: int64 [examples], the place of each example.
      shape: (B, S, N).
      segment: int64 [positions], 2 · example + 1 in `B [SEP]`, 2 · example in `[CLS] A [SEP]`, -1 in padding.
      origin: int64 [positions], which of the given tokens stands there; for [CLS] and the last [SEP] of an example, the
        token before and after it; arbitrary elsewhere.
      tokens: the content of each position.
    """

    row: np.ndarray
    slot: np.ndarray
    shape: tuple[int, int, int]
    segment: np.ndarray
    origin: np.ndarray
    tokens: Tokens

    def by_position(self, values: np.ndarray) -> np.ndarray:
        """Reshapes values [positions] to int32 [B, S]."""
        return values.astype(np.int32, copy=False).reshape(self.shape[:2])

    def by_example(self, values: np.ndarray, dtype: np.typing.DTypeLike) -> np.ndarray:
        """Scatters values [examples, …] to [B, N, …], with zeros in unused slots."""
        array = np.zeros((self.shape[0], self.shape[2], *np.shape(values)[1:]), dtype)
        array[self.row, self.slot] = values
        return array

    def by_token(self, values: np.ndarray) -> np.ndarray:
        """Moves values [tokens, …] of the given tokens to [B, S, …], with zeros at special tokens and padding."""
        array = values[self.origin]
        array[self.tokens.is_special] = 0
        return array.reshape(*self.shape[:2], *values.shape[1:])

    def by_framed_token(self, values: np.ndarray) -> np.ndarray:
        """Does the same with values that stand around each example too: for its [CLS], and for its last [SEP]."""
        array = values[self.origin]
        array[self.segment < 0] = 0
        return array.reshape(*self.shape[:2], *values.shape[1:])

    def core(self) -> Batch:
        """The core columns of `bert_jax.batch`."""
        real = self.segment >= 0
        return {
            "token_ids": self.by_position(self.tokens.ids),
            "token_type_ids": self.by_position(np.where(real, self.segment & 1, 0)),
            "example_ids": self.by_position(np.where(real, (self.slot + 1)[self.tokens.example], 0)),
            "position_ids": self.by_position(self.tokens.position),
            "cls_positions": self.by_example(self.tokens.first - self.row * self.shape[1], np.int32),
            "example_keys": self.by_example(self.tokens.key, np.uint32),
        }


def lay_out(
    examples: Segments,
    row: np.ndarray,
    slot: np.ndarray,
    shape: tuple[int, int, int],
    token_ids: np.ndarray,
    tokenizer: Tokenizer,
) -> Rows:
    """Lays out examples in rows.

    Args:
      examples: sorted by row, then by slot.
      row, slot: int64 [examples], the place of each example; the slots of a row are 0, 1, …
      shape: (B, S, N).
      token_ids: [tokens]; the examples are ranges of it.
      tokenizer: for the special ids.
    """
    num_rows, width, slots = shape
    first = row * width + _offsets_within_rows(examples.length, row, slot, (num_rows, slots))
    segment = _segments(examples, first, num_rows * width)
    origin, tokens = _tokens(examples, first, segment, token_ids, tokenizer)
    return Rows(row, slot, shape, segment, origin, tokens)


def assemble(
    examples: Examples,
    row: np.ndarray,
    slot: np.ndarray,
    num_rows: int,
    token_ids: np.ndarray,
    tokenizer: Tokenizer,
    config: DataConfig,
    num_sources: int,
) -> Batch:
    """Builds rows for pretraining.

    Args:
      examples: sorted by row, then by slot.
      row, slot: int64 [examples], the place of each example; the slots of a row are 0, 1, …
      num_rows: B.
      token_ids: [tokens], of the split.
      tokenizer: for the special ids and the word beginnings.
      config: says how to mask, and the sizes S, K and N.
      num_sources: of the corpus.

    Returns:
      Host arrays: the core columns, and those of the objectives that this kind of examples serves.
    """
    width, room, kind = config.sequence_length, config.row_predictions, config.kind
    rows = lay_out(examples, row, slot, (num_rows, width, config.row_examples), token_ids, tokenizer)
    tokens = rows.tokens
    chosen, decider = masking.choose(tokens, config, tokenizer.word_starts)
    targets = tokens.ids[chosen]
    tokens.ids[chosen] = masking.replacements(
        tokens.key[tokens.example[chosen]],
        tokens.position[chosen],
        decider,
        targets,
        config,
        tokenizer.mask_id,
        tokenizer.ordinary_ids,
    )
    # Chosen positions are ascending, so those of a row are contiguous: the rank in the row is the prediction's index.
    chosen_row = chosen // width
    rank = np.arange(len(chosen)) - np.searchsorted(chosen_row, np.arange(num_rows))[chosen_row]

    def by_prediction(values: np.typing.ArrayLike, dtype: np.typing.DTypeLike) -> np.ndarray:
        array = np.zeros((num_rows, room), dtype)
        array[chosen_row, rank] = values
        return array

    batch = rows.core() | {
        "masked_positions": by_prediction(chosen - chosen_row * width, np.int32),
        "masked_targets": by_prediction(targets, np.int32),
        "masked_weights": by_prediction(1, np.float32),
    }
    if kind.question:
        counted = examples.is_true if kind.forced_labels_count else examples.is_free
        batch["nsp_labels"] = rows.by_example(examples.label, np.int32)
        batch["nsp_weights"] = rows.by_example(counted, np.float32)
    if kind.is_split:
        batch["pair_weights"] = rows.by_example(examples.is_true, np.float32)
        batch["document_ids"] = rows.by_example(examples.document, np.int32)
    if kind.is_split or num_sources > 1:
        batch["source_ids"] = rows.by_example(examples.source, np.int32)
    return batch


def _segments(examples: Segments, first: np.ndarray, size: int) -> np.ndarray:
    """The segment of each position: 2 · example + 1 in `B [SEP]`, 2 · example in `[CLS] A [SEP]`, -1 in padding."""
    after = first + examples.length
    begins = np.stack([first, first + examples.a_length + 2], axis=1).ravel()
    # Without a B, its segment begins where the example ends, as does the next one: hence counts, not ones.
    segment = np.cumsum(np.bincount(begins, minlength=size)[:size]) - 1
    depth = np.bincount(first, minlength=size + 1) - np.bincount(after, minlength=size + 1)
    return np.where(np.cumsum(depth[:size]) > 0, segment, -1)


def _tokens(
    examples: Segments, first: np.ndarray, segment: np.ndarray, token_ids: np.ndarray, tokenizer: Tokenizer
) -> tuple[np.ndarray, Tokens]:
    """The origin and the content of all positions before masking.

    Padding counts as special, and as part of the last example.
    """
    place = np.arange(len(segment))
    real = segment >= 0
    separator, last = first + examples.a_length + 1, first + examples.length - 1
    is_special = ~real
    is_special[first] = is_special[separator] = is_special[last] = True
    shift = np.stack([examples.a_start - first - 1, examples.b_start - separator - 1], axis=1).ravel()
    origin = np.clip(place + shift[segment], 0, len(token_ids) - 1)  # special tokens are overwritten next
    ids = token_ids[origin].astype(np.int32)
    ids[~real] = tokenizer.pad_id
    ids[first] = tokenizer.cls_id
    ids[separator] = ids[last] = tokenizer.sep_id
    example = segment >> 1
    position = np.where(real, place - first[example], 0)
    return origin, Tokens(
        ids, example, position, is_special, first, examples.a_length + 1, examples.length, examples.key
    )


def _offsets_within_rows(sizes, row, slot, shape) -> np.ndarray:
    """The offset of each example within its row, given the sizes of all examples."""
    table = np.zeros(shape, np.int64)
    table[row, slot] = sizes
    return (np.cumsum(table, axis=1) - table)[row, slot]
