"""From examples to the arrays of a batch, without a loop over rows or tokens.

Everything is laid out over the batch's positions, row after row: each position knows its segment (two an example, the
second one empty where there is no B), and what it holds follows from that by one sum or one lookup.
"""

import numpy as np

from bert_jax.batch import Batch
from bert_jax.data import masking
from bert_jax.data.config import DataConfig
from bert_jax.data.examples import Examples
from bert_jax.tokenization import Tokenizer


def assemble(
    examples: Examples,
    row: np.ndarray,
    slot: np.ndarray,
    num_rows: int,
    token_ids: np.ndarray,
    tokenizer: Tokenizer,
    config: DataConfig,
) -> Batch:
    """Builds rows.

    Args:
      examples: sorted by row, then by slot.
      row, slot: int64 [examples], where each is; a row's slots are 0, 1, …
      num_rows: B.
      token_ids: [tokens], of the split.
      tokenizer: for the special ids and the beginnings of words.
      config: how it is masked, and the sizes S, K and N.

    Returns:
      Host arrays of the schema in `bert_jax.batch`.
    """
    width, room = config.sequence_length, config.row_predictions
    length = examples.length
    first = row * width + _offsets_within_rows(length, row, slot, (num_rows, config.row_examples))
    segment = _segments(examples, first, num_rows * width)
    tokens = _tokens(examples, first, segment, token_ids, tokenizer)
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
    real = segment >= 0
    # Chosen places rise, so those of a row stand together: the rank within the row is the place among its predictions.
    chosen_row = chosen // width
    rank = np.arange(len(chosen)) - np.searchsorted(chosen_row, np.arange(num_rows))[chosen_row]

    def by_position(values):
        return values.astype(np.int32, copy=False).reshape(num_rows, width)

    def by_prediction(values, dtype):
        array = np.zeros((num_rows, room), dtype)
        array[chosen_row, rank] = values
        return array

    def by_example(values, dtype):
        array = np.zeros((num_rows, config.row_examples), dtype)
        array[row, slot] = values
        return array

    counted = examples.is_free if config.examples == "balanced" else examples.is_true
    return {
        "token_ids": by_position(tokens.ids),
        "segment_ids": by_position(np.where(real, segment & 1, 0)),
        "sequence_ids": by_position(np.where(real, (slot + 1)[tokens.example], 0)),
        "position_ids": by_position(tokens.position),
        "masked_positions": by_prediction(chosen - chosen_row * width, np.int32),
        "masked_targets": by_prediction(targets, np.int32),
        "masked_weights": by_prediction(1, np.float32),
        "summary_positions": by_example(first - row * width, np.int32),
        "nsp_labels": by_example(examples.label, np.int32),
        "nsp_weights": by_example(counted, np.float32),
        "source_ids": by_example(examples.source, np.int32),
        "document_ids": by_example(examples.document, np.int32),
        "example_keys": by_example(examples.key, np.uint32),
    }


def _segments(examples: Examples, first: np.ndarray, size: int) -> np.ndarray:
    """For each position of the batch: 2 · example + 1 in `B [SEP]`, 2 · example in `[CLS] A [SEP]`, -1 in padding."""
    after = first + examples.length
    begins = np.stack([first, first + examples.a_length + 2], axis=1).ravel()
    # Where there is no B, its segment begins where the example ends, with the next one: hence counts.
    segment = np.cumsum(np.bincount(begins, minlength=size)[:size]) - 1
    depth = np.bincount(first, minlength=size + 1) - np.bincount(after, minlength=size + 1)
    return np.where(np.cumsum(depth[:size]) > 0, segment, -1)


def _tokens(
    examples: Examples, first: np.ndarray, segment: np.ndarray, token_ids: np.ndarray, tokenizer: Tokenizer
) -> masking.Tokens:
    """All positions of the batch, nothing masked yet; padding counts as special, and as of the last example."""
    place = np.arange(len(segment))
    real = segment >= 0
    separator, last = first + examples.a_length + 1, first + examples.length - 1
    is_special = ~real
    is_special[first] = is_special[separator] = is_special[last] = True
    shift = np.stack([examples.a_start - first - 1, examples.b_start - separator - 1], axis=1).ravel()
    origin = np.where(is_special, 0, place + shift[segment])  # 0: any valid place, overwritten next
    ids = token_ids[origin].astype(np.int32)
    ids[~real] = tokenizer.pad_id
    ids[first] = tokenizer.cls_id
    ids[separator] = ids[last] = tokenizer.sep_id
    example = segment >> 1
    position = np.where(real, place - first[example], 0)
    return masking.Tokens(
        ids, example, position, is_special, first, examples.a_length + 1, examples.length, examples.key
    )


def _offsets_within_rows(sizes, row, slot, shape) -> np.ndarray:
    """Where each example's share begins within its row, given the sizes of all."""
    table = np.zeros(shape, np.int64)
    table[row, slot] = sizes
    return (np.cumsum(table, axis=1) - table)[row, slot]
