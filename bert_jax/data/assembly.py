"""From examples to the arrays of a batch, without a loop over rows or tokens."""

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
    shape = (num_rows, config.row_examples)
    length = examples.length
    start = _offsets_within_rows(length, row, slot, shape)
    tokens, in_b = _tokens(examples, token_ids, tokenizer)
    chosen, decider = masking.choose(tokens, config, tokenizer.word_starts)
    example, position = tokens.example[chosen], tokens.position[chosen]
    targets = tokens.ids[chosen]
    tokens.ids[chosen] = masking.replacements(
        examples.key[example], position, decider, targets, config, tokenizer.mask_id, tokenizer.ordinary_ids
    )
    place = np.repeat(row * config.sequence_length + start, length) + tokens.position

    def by_token(values, fill=0):
        array = np.full(num_rows * config.sequence_length, fill, np.int32)
        array[place] = values
        return array.reshape(num_rows, config.sequence_length)

    counts = np.bincount(example, minlength=len(examples))
    slot_start = _offsets_within_rows(counts, row, slot, shape)
    rank = np.arange(len(chosen)) - np.repeat(np.cumsum(counts) - counts, counts)
    prediction_place = np.repeat(row * config.row_predictions + slot_start, counts) + rank

    def by_prediction(values, dtype):
        array = np.zeros(num_rows * config.row_predictions, dtype)
        array[prediction_place] = values
        return array.reshape(num_rows, config.row_predictions)

    def by_example(values, dtype):
        array = np.zeros(shape, dtype)
        array[row, slot] = values
        return array

    counted = examples.is_free if config.examples == "balanced" else examples.is_true
    return {
        "token_ids": by_token(tokens.ids, tokenizer.pad_id),
        "segment_ids": by_token(in_b),
        "sequence_ids": by_token(np.repeat(slot + 1, length)),
        "position_ids": by_token(tokens.position),
        "masked_positions": by_prediction(start[example] + position, np.int32),
        "masked_targets": by_prediction(targets, np.int32),
        "masked_weights": by_prediction(1, np.float32),
        "summary_positions": by_example(start, np.int32),
        "nsp_labels": by_example(examples.label, np.int32),
        "nsp_weights": by_example(counted, np.float32),
        "source_ids": by_example(examples.source, np.int32),
        "example_keys": by_example(examples.key, np.uint32),
    }


def _tokens(examples: Examples, token_ids: np.ndarray, tokenizer: Tokenizer) -> tuple[masking.Tokens, np.ndarray]:
    """All tokens of all examples, nothing masked yet, and for each whether it belongs to segment B."""
    length, a_length = examples.length, examples.a_length
    first = np.cumsum(length) - length
    example = np.repeat(np.arange(len(length)), length)
    position = np.arange(length.sum()) - first[example]
    in_b = position > (a_length + 1)[example]
    origin = position + np.where(in_b, (examples.b_start - a_length - 2)[example], (examples.a_start - 1)[example])
    # Without a B the separator after A is the last token.
    separator, last = first + a_length + 1, first + length - 1
    is_special = np.zeros(len(position), bool)
    is_special[first] = is_special[separator] = is_special[last] = True
    origin[is_special] = 0  # any valid place: overwritten next
    ids = token_ids[origin].astype(np.int32)
    ids[first] = tokenizer.cls_id
    ids[separator] = ids[last] = tokenizer.sep_id
    return masking.Tokens(ids, example, position, is_special, first, length, examples.key), in_b


def _offsets_within_rows(sizes, row, slot, shape) -> np.ndarray:
    """Where each example's share begins within its row, given the sizes of all."""
    table = np.zeros(shape, np.int64)
    table[row, slot] = sizes
    return (np.cumsum(table, axis=1) - table)[row, slot]
