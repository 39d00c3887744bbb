"""Chooses the tokens to predict, and what replaces them.

Draws depend only on the example's key and the position in the example. So an example is masked in the same way in any
row, whatever it is packed with.
"""

import dataclasses

import numpy as np

from bert_jax.data import draws
from bert_jax.data.config import DataConfig
from bert_jax.data.draws import Purpose
from bert_jax.hashing import GOLDEN32, mix32

# Lengths of masked spans, in words: a geometric distribution, truncated and renormalised; 3.8 on average (Joshi et al.
# 2020, SpanBERT, arXiv 1907.10529).
SPAN_STOP, LONGEST_SPAN = 0.2, 10


def wanted_predictions(length: np.ndarray, rate: float) -> np.ndarray:
    """How many positions to predict at this rate. `length` includes special tokens, as in BERT's own code."""
    return np.maximum(np.rint(length * rate).astype(np.int64), 1)


def num_predictions(length: np.ndarray, rate: float, max_predictions: int) -> np.ndarray:
    """`wanted_predictions`, but at most `max_predictions` and the number of ordinary tokens."""
    return np.minimum(np.minimum(wanted_predictions(length, rate), max_predictions), np.maximum(length - 3, 1))


@dataclasses.dataclass(frozen=True)
class Tokens:
    """The content of all positions of a batch, row after row.

    Attributes:
      ids: int32 [positions].
      example: int64 [positions], the index of the example; arbitrary in padding.
      position: int64 [positions], the position within the example.
      is_special: bool [positions], true for [CLS], [SEP] and padding.
      first: int64 [examples], the index of each example's first token.
      separator: int64 [examples], the position of the [SEP] after A within the example.
      length: int64 [examples].
      key: uint32 [examples].
    """

    ids: np.ndarray
    example: np.ndarray
    position: np.ndarray
    is_special: np.ndarray
    first: np.ndarray
    separator: np.ndarray
    length: np.ndarray
    key: np.ndarray


def choose(tokens: Tokens, config: DataConfig, word_starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chooses ordinary tokens to predict, at most `num_predictions` per example.

    Tokens are drawn uniformly. Words and spans are drawn as units, in random order. A unit that would exceed the
    example's number is skipped, and the next one that fits is taken, as google-research/bert does with words. Some
    would never be taken: those larger than the number of a full row, and all of an example whose units are all larger
    than its number. They are divided, spans into words and words into tokens. So each example has a prediction, and
    text in a script without spaces is learned.

    Args:
      tokens: of the batch.
      config: says what the units are, and how many tokens to choose.
      word_starts: bool [V], whether a piece begins a word.

    Returns:
      Ascending indices into `tokens`, and for each of them the position whose draw decides the replacement: its own,
      or that of the first token of its span, because a span is replaced as a whole.
    """
    counts = num_predictions(tokens.length, config.mask_rate, config.example_predictions)
    if config.masking == "token":
        chosen = _choose_tokens(tokens, counts, config.sequence_length)
        return chosen, tokens.position[chosen]
    begins_word = word_starts[tokens.ids] | tokens.is_special
    begins_word[1:] |= tokens.is_special[:-1]  # the first piece of a segment, even if truncation cut the word
    begins = begins_word if config.masking == "whole_word" else _span_begins(tokens, begins_word)
    every = np.ones_like(begins)
    start, size = _units(tokens, begins, [begins_word, every] if config.masking == "span" else [every], counts, config)
    chosen, unit_begin = _choose_units(tokens, counts, start, size)
    return chosen, tokens.position[unit_begin if config.masking == "span" else chosen]


def _choose_tokens(tokens: Tokens, counts: np.ndarray, sequence_length: int) -> np.ndarray:
    """Chooses `counts` ordinary tokens of each example, uniformly without replacement."""
    position = np.arange(tokens.length.max(initial=1), dtype=np.uint32)
    # For the longest possible row, not for this batch: ties must not depend on the other examples.
    position_bits = np.uint32(max(1, int(sequence_length - 1).bit_length()))
    # One sort of plain integers: the high bits are the draw, the low bits its position.
    score = _scores(tokens.key[:, None], position) >> position_bits << position_bits | position
    score[:, 0] = 0xFFFFFFFF
    score[np.arange(len(score)), tokens.separator] = 0xFFFFFFFF
    score[position >= (tokens.length - 1)[:, None]] = 0xFFFFFFFF
    most = int(counts.max(initial=0))
    # Only the smallest scores in each row are needed, in any order.
    score = np.partition(score, most - 1, axis=1)[:, :most] if 0 < most < len(position) else score
    score.sort(axis=1)
    chosen = (score[:, :most] & ((np.uint32(1) << position_bits) - np.uint32(1))).astype(np.int64)
    used = np.arange(most) < counts[:, None]
    return np.sort((tokens.first[:, None] + chosen)[used])


def _scores(key: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Draws uint32 for each position of an example, broadcast. The smallest ones are chosen."""
    with np.errstate(over="ignore"):
        salt = np.uint32(Purpose.MASK_POSITION * int(GOLDEN32) & 0xFFFFFFFF)
        return mix32(mix32(key ^ salt) + position.astype(np.uint32) * GOLDEN32)


def _units(
    tokens: Tokens, begins: np.ndarray, finer: list[np.ndarray], counts: np.ndarray, config: DataConfig
) -> tuple[np.ndarray, np.ndarray]:
    """The units to draw from, of which those that would never be taken are divided into finer ones.

    Args:
      begins: bool [tokens], whether a unit begins. Each special token is a unit, which is left out.
      finer: the same for finer units, coarse before fine; the last ones are tokens.
      counts: int64 [examples], how many tokens to choose.

    Returns:
      The first token and the number of tokens of each unit.
    """
    most = num_predictions(np.array(config.sequence_length), config.mask_rate, config.example_predictions)
    start, size = _ordinary_units(tokens, begins)
    for finer_begins in finer:
        large = np.flatnonzero(size > 1)  # few; a single token always fits
        large = large[size[large] > counts[tokens.example[start[large]]]]
        if not len(large):
            break
        num_units = np.bincount(tokens.example[start], minlength=len(counts))
        none_fits = np.bincount(tokens.example[start[large]], minlength=len(counts)) == num_units
        large = large[none_fits[tokens.example[start[large]]] | (size[large] > most)]
        inside, _ = _tokens_of(start[large], size[large])
        begins[inside] |= finer_begins[inside]
        start, size = _ordinary_units(tokens, begins)
    return start, size


def _ordinary_units(tokens: Tokens, begins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    start = np.flatnonzero(begins)
    size = np.diff(np.append(start, len(begins)))
    is_ordinary = ~tokens.is_special[start]
    return start[is_ordinary], size[is_ordinary]


def _tokens_of(start: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All tokens of the given units, and the first token of the unit of each."""
    unit_begin = np.repeat(start, size)
    return unit_begin + np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size), unit_begin


def _choose_units(
    tokens: Tokens, counts: np.ndarray, start: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses whole units, up to `counts` tokens per example.

    Args:
      start, size: the first token and the number of tokens of each unit.

    Returns:
      The chosen tokens in ascending order, and the first token of the unit of each.
    """
    sizes = np.zeros(len(tokens.ids), np.int64)
    sizes[start] = size
    # One sort of plain integers (example, draw, position), many times as fast as a sort of indices.
    example, position = tokens.example[start].astype(np.uint64), tokens.position[start].astype(np.uint64)
    score = _scores(tokens.key[example], position).astype(np.uint64) >> np.uint64(8)
    ordered = np.sort(example << np.uint64(40) | score << np.uint64(16) | position)
    example = (ordered >> np.uint64(40)).astype(np.int64)
    start = tokens.first[example] + (ordered & np.uint64(0xFFFF)).astype(np.int64)
    size = sizes[start]

    # Take the first units of each example for as long as they fit …
    total = np.cumsum(size)
    first_unit = np.searchsorted(example, np.arange(len(counts)))
    before = np.where(first_unit > 0, total[first_unit - 1], 0)
    taken = total - before[example] <= counts[example]
    room = counts - np.bincount(example[taken], size[taken], len(counts)).astype(np.int64)
    # … then the next unit that fits into the rest, while there is one: few rounds, each over all examples.
    while len(fits := np.flatnonzero(~taken & (size <= room[example]))):
        owner, index = np.unique(example[fits], return_index=True)
        taken[fits[index]] = True
        room[owner] -= size[fits[index]]

    start = np.sort(start[taken])
    return _tokens_of(start, sizes[start])


def _span_begins(tokens: Tokens, begins_word: np.ndarray) -> np.ndarray:
    """Where spans begin: the words of each example are divided into spans of random lengths, with a random phase.

    Special tokens end a span.
    """
    word = np.cumsum(begins_word) - 1  # of each token, over the whole batch
    first_word = word[tokens.first]
    within = np.where(tokens.is_special, 0, word - first_word[tokens.example])  # of each token, within its example
    most = int(within.max(initial=0)) + 1
    shares = SPAN_STOP * (1 - SPAN_STOP) ** np.arange(LONGEST_SPAN)
    limits = np.cumsum(shares / shares.sum())
    spans = np.arange(most + LONGEST_SPAN)
    drawn = draws.uniform(Purpose.SPAN_LENGTH, tokens.key[:, None], spans)
    length = np.minimum(np.searchsorted(limits, drawn, side="right"), LONGEST_SPAN - 1) + 1
    phase = draws.integers(LONGEST_SPAN, Purpose.SPAN_PHASE, tokens.key)
    ends = np.cumsum(length, axis=1) - phase[:, None]
    is_begin = np.zeros((len(tokens.key), most), bool)
    is_begin[:, 0] = True
    example, span = np.nonzero((ends > 0) & (ends < most))
    is_begin[example, ends[example, span]] = True
    return (
        (begins_word & is_begin[tokens.example, within]) | tokens.is_special | np.append(False, tokens.is_special[:-1])
    )


def replacements(
    key: np.ndarray,
    position: np.ndarray,
    decider: np.ndarray,
    targets: np.ndarray,
    config: DataConfig,
    mask_id: int,
    ordinary_ids: np.ndarray,
) -> np.ndarray:
    """Draws what replaces each chosen token: [MASK], a random ordinary token, or the token itself.

    Args:
      key, position, targets: [predictions], the key of the example, the position in it, and the token there.
      decider: [predictions], the position whose draw decides between the three.
      config: for `mask_share` and `random_share`.
      mask_id: the id of [MASK].
      ordinary_ids: the ids to draw random tokens from.
    """
    action = draws.uniform(Purpose.MASK_ACTION, key, decider)
    random = ordinary_ids[draws.integers(len(ordinary_ids), Purpose.MASK_TOKEN, key, position)]
    result = np.where(action < config.mask_share, mask_id, random)
    return np.where(action < config.mask_share + config.random_share, result, targets)
