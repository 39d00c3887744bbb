"""Makes examples from all documents of a block at once: pairs of segments, or single segments.

The sentences of a document are grouped into chunks of a target length, and each chunk becomes an example:

  bert            As many sentences as reach the target are cut in two. Either the second part is B (label 0, "is
                  next"), or B comes from a random place in another document (label 1), and the second part begins the
                  next chunk. A chunk of one sentence has no second part, so its B is always random. Pairs that are too
                  long lose tokens one by one from the longer segment, at a random end each time.
                  Source: create_pretraining_data.py of github.com/google-research/bert (Devlin et al. 2018).
  sentence_order  As many sentences as fit, but at least two, are cut in two, and the parts are A and B (label 0) or B
                  and A (label 1). The last sentence of a document, if it is left alone, is a single segment whose label
                  does not count (ALBERT, Lan et al. 2020, arXiv 1909.11942).
  candidates      The same, but the parts are two examples in the same row, which do not attend to each other. A
                  sentence alone has no next part and does not count.
  full_sentences  As many sentences as fit are one segment. No example spans two documents: packing fills the row
                  (RoBERTa's DOC-SENTENCES, Liu et al. 2019, arXiv 1907.11692).

A sentence longer than a row is text without sentence ends: it is divided into UNITS_PER_ROW units a row, and each unit
counts as a sentence. So all of it is used, over several examples.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from bert_jax.data import draws
from bert_jax.data.blocks import Pieces, divide
from bert_jax.data.draws import Purpose

# How many times to try to draw another document, as in the source.
RANDOM_DOCUMENT_TRIES = 10
# Small units waste little where an example ends within one; large ones make few, long examples of short targets.
UNITS_PER_ROW = 16


@dataclasses.dataclass(frozen=True)
class Segments:
    """Examples as ranges of token ids. All arrays are [examples].

    Attributes:
      a_start, b_start: int64, the first token of each segment.
      a_length, b_length: int64, the tokens in each segment without special tokens; b_length is 0 without a B.
      key: uint32, identifies the example in all later draws.
    """

    a_start: np.ndarray
    a_length: np.ndarray
    b_start: np.ndarray
    b_length: np.ndarray
    key: np.ndarray

    def __len__(self) -> int:
        return len(self.key)

    def take(self, index: np.ndarray) -> Self:
        """The examples at the given indices."""
        return type(self)(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Concatenates examples."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @property
    def length(self) -> np.ndarray:
        """The tokens of each example with special tokens: [CLS] A [SEP] B [SEP], or [CLS] A [SEP]."""
        return self.a_length + self.b_length + 2 + (self.b_length > 0)

    def distinct_tokens(self) -> int:
        """The number of tokens in the segments; a token that is in several counts once."""
        begin, length = np.append(self.a_start, self.b_start), np.append(self.a_length, self.b_length)
        order = np.argsort(begin, kind="stable")
        begin, end = begin[order], (begin + length)[order]
        covered = np.append(0, np.maximum.accumulate(end)[:-1])  # the end of what is counted before each segment
        return int(np.maximum(end - np.maximum(begin, covered), 0).sum())


@dataclasses.dataclass(frozen=True)
class Examples(Segments):
    """Examples made from a corpus, as ranges of the split's token_ids.

    Attributes:
      label: bool, B is from elsewhere, or the segments are swapped.
      is_true: bool, the label is correct; False without a B, or if no other document was found for a random B.
      is_free: bool, the label is correct and was drawn; False if a one-sentence chunk forced it.
      source: int64, the source of the example.
      document: int64, the document of the example (or of its A).
    """

    label: np.ndarray
    is_true: np.ndarray
    is_free: np.ndarray
    source: np.ndarray
    document: np.ndarray


def make_examples(
    pieces: Pieces,
    sentence_starts: np.ndarray,
    make: "Maker",
    longest: int,
    short_probability: float,
    source: int,
    stream: tuple[int, ...],
) -> Examples:
    """Makes all examples of the given pieces.

    Args:
      pieces: the sentences to use.
      sentence_starts: int64 [sentences + 1], token offsets in the split.
      make: the maker of a kind of examples, see `kinds.py`; for `candidates`, `split_pairs` splits the result.
      longest: the most tokens in an example, without special tokens.
      short_probability: the share of documents with a random, shorter target length (`short_seq_prob`).
      source: the source of the pieces.
      stream: integers that identify these draws: seed, phase, source, epoch, block, pass.
    """
    text = _LocalText.of(pieces, sentence_starts, longest)
    piece = np.arange(len(pieces))
    target = np.full(len(pieces), longest)
    short = draws.uniform(*stream, Purpose.TARGET_LENGTH, piece, 0) < short_probability
    target[short] = 2 + draws.integers(longest - 1, *stream, Purpose.TARGET_LENGTH, piece[short], 1)

    rounds, cursor, ordinal = [], text.begin.copy(), 0
    while len(piece):
        # One chunk of every piece that has sentences left: few rounds, each over many pieces.
        bits = draws.bits64(*stream, Purpose.EXAMPLE, ordinal, piece)
        chunk = _Chunk(piece, cursor[piece], target[piece], bits)
        made, cursor[piece] = make(text, pieces, chunk)
        key, source_of = bits.astype(np.uint32), np.full(len(piece), source)
        rounds.append((*made[:4], key, *made[4:], source_of, pieces.document[piece]))
        piece = piece[cursor[piece] < text.end[piece]]
        ordinal += 1
    columns = [np.concatenate(column) for column in zip(*rounds, strict=True)]
    return _truncate(Examples(*columns), longest, stream)


@dataclasses.dataclass(frozen=True)
class _LocalText:
    """The sentences of all pieces, numbered from 0. The code below uses these numbers.

    A unit of a sentence longer than a row counts as a sentence.

    Attributes:
      begin, end: [pieces], the first sentence of each piece, and one past its last.
      token_start: [sentences], the first token of each sentence in the split.
      offsets: [sentences + 1], the first token of each sentence if the pieces are concatenated.
    """

    begin: np.ndarray
    end: np.ndarray
    token_start: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, pieces: Pieces, sentence_starts: np.ndarray, longest: int) -> "_LocalText":
        counts = pieces.end - pieces.begin
        ends = np.cumsum(counts)
        sentence = np.arange(counts.sum()) + np.repeat(pieces.begin - ends + counts, counts)
        token_start = sentence_starts[sentence]
        offsets = np.concatenate([[0], np.cumsum(sentence_starts[sentence + 1] - token_start)])
        if (np.diff(offsets) > longest).any():
            owner, offset = divide(np.diff(offsets), longest, min(UNITS_PER_ROW, longest))
            token_start = token_start[owner] + offset
            offsets = np.append(offsets[owner] + offset, offsets[-1])
            ends = np.searchsorted(owner, ends)
        return cls(np.append(0, ends[:-1]), ends, token_start, offsets)

    def tokens(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """The number of tokens in the sentences begin..end."""
        return self.offsets[end] - self.offsets[begin]

    def until(self, begin: np.ndarray, goal: np.ndarray, limit: np.ndarray) -> np.ndarray:
        """One past the sentence that reaches `goal` tokens from `begin` on, but at most `limit`."""
        return np.minimum(np.searchsorted(self.offsets, self.offsets[begin] + goal), limit)

    def fitting(self, begin: np.ndarray, goal: np.ndarray, least: int, limit: np.ndarray) -> np.ndarray:
        """One past the sentences that fit into `goal` tokens from `begin` on, `least` or more, but at most `limit`."""
        end = np.searchsorted(self.offsets, self.offsets[begin] + goal, side="right") - 1
        return np.minimum(np.maximum(end, begin + least), limit)


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """A chunk of each given piece: the piece, the first sentence, the number of tokens to reach, the bits for draws."""

    piece: np.ndarray
    begin: np.ndarray
    goal: np.ndarray
    bits: np.ndarray

    def middle(self, end: np.ndarray) -> np.ndarray:
        """Draws the sentence to cut at. Both parts have at least one sentence, if the chunk has two."""
        size = end - self.begin
        several = size >= 2
        split = np.ones_like(size)
        split[several] += draws.integers(size[several] - 1, Purpose.PAIR_SPLIT, self.bits[several])
        return self.begin + split

    def coin(self) -> np.ndarray:
        """Draws the label."""
        return draws.uniform(Purpose.PAIR_LABEL, self.bits) < 0.5


# Maps (text, pieces, a chunk of each piece) to columns of `Examples` (a_start, a_length, b_start, b_length, label,
# is_true, is_free) and the sentence at which each piece continues.
Maker = Callable[[_LocalText, Pieces, _Chunk], tuple[tuple[np.ndarray, ...], np.ndarray]]


def next_sentences(text: _LocalText, pieces: Pieces, chunk: _Chunk) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The maker of `bert` and `balanced`."""
    end = text.until(chunk.begin, chunk.goal, text.end[chunk.piece])
    middle = chunk.middle(end)
    several = end - chunk.begin >= 2
    is_random = ~several | chunk.coin()
    other_begin, other_end, found = _random_text(text, pieces, chunk, chunk.goal - text.tokens(chunk.begin, middle))
    b_begin, b_end = np.where(is_random, other_begin, middle), np.where(is_random, other_end, end)
    is_true = found | ~is_random
    made = (
        text.token_start[chunk.begin],
        text.tokens(chunk.begin, middle),
        text.token_start[b_begin],
        text.tokens(b_begin, b_end),
        is_random,
        is_true,
        several & is_true,
    )
    return made, np.where(is_random, middle, end)


def _random_text(text, pieces, chunk, goal):
    """Draws sentences of another document, with about `goal` tokens: (begin, end, found)."""
    piece = chunk.piece
    other = np.zeros_like(piece)
    found = np.zeros(len(piece), bool)
    for attempt in range(RANDOM_DOCUMENT_TRIES):
        missing = np.flatnonzero(~found)
        if not len(missing):
            break
        draw = draws.integers(len(pieces), Purpose.RANDOM_DOCUMENT, attempt, chunk.bits[missing])
        other[missing] = draw
        found[missing] = pieces.document[draw] != pieces.document[piece[missing]]
    begin = text.begin[other] + draws.integers(text.end[other] - text.begin[other], Purpose.RANDOM_START, chunk.bits)
    # At least one sentence, even if A alone reaches the target.
    return begin, text.until(begin, np.maximum(goal, 1), text.end[other]), found


def sentences_in_any_order(
    text: _LocalText, pieces: Pieces, chunk: _Chunk
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The maker of `sentence_order`."""
    return _neighbours(text, chunk, swapped=chunk.coin())


def sentences_in_order(text: _LocalText, pieces: Pieces, chunk: _Chunk) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The maker of `candidates`."""
    return _neighbours(text, chunk, swapped=np.zeros(len(chunk.piece), bool))


def _neighbours(text, chunk, swapped):
    end = text.fitting(chunk.begin, chunk.goal, 2, text.end[chunk.piece])
    middle = chunk.middle(end)
    several = end - chunk.begin >= 2
    swapped = several & swapped
    a_begin, a_end = np.where(swapped, middle, chunk.begin), np.where(swapped, end, middle)
    b_begin, b_end = np.where(swapped, chunk.begin, middle), np.where(swapped, middle, end)
    made = (
        text.token_start[a_begin],
        text.tokens(a_begin, a_end),
        # Without a B, b_begin may be past the last sentence.
        np.where(several, text.token_start[np.minimum(b_begin, len(text.token_start) - 1)], 0),
        text.tokens(b_begin, b_end),
        swapped,
        several,
        several,
    )
    return made, end


def full_sentences(text: _LocalText, pieces: Pieces, chunk: _Chunk) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The maker of `full_sentences`."""
    end = text.fitting(chunk.begin, chunk.goal, 1, text.end[chunk.piece])
    nothing = np.zeros_like(end)
    never = nothing > 0
    made = (text.token_start[chunk.begin], text.tokens(chunk.begin, end), nothing, nothing, never, never, never)
    return made, end


def split_pairs(pairs: Examples) -> tuple[Examples, np.ndarray]:
    """Splits each pair into two examples, and returns their indices, int64 [pairs, 2], -1 if there is no second."""
    has_b = pairs.b_length > 0
    nothing = np.zeros_like(pairs.b_length)
    first = dataclasses.replace(pairs, b_start=nothing, b_length=nothing)
    key = draws.bits64(Purpose.SECOND, pairs.key).astype(np.uint32)
    second = dataclasses.replace(first, a_start=pairs.b_start, a_length=pairs.b_length, key=key)
    ordinal = np.cumsum(has_b) - 1 + len(pairs)
    rows = np.stack([np.arange(len(pairs)), np.where(has_b, ordinal, -1)], axis=1)
    return Examples.concatenate([first, second.take(np.flatnonzero(has_b))]), rows


def _truncate(examples: Examples, longest: int, stream) -> Examples:
    """Cuts pairs to `longest` tokens in total. The longer segment loses tokens, or B if both are equally long."""
    a, b = examples.a_length, examples.b_length
    excess = np.maximum(a + b - longest, 0)
    gap = np.minimum(np.abs(a - b), excess)
    rest = excess - gap  # cut from both in turn, starting with B
    cut_a = np.where(a > b, gap, 0) + rest // 2
    cut_b = np.where(a > b, 0, gap) + (rest + 1) // 2
    front_a = _coin_flips(cut_a, examples.key, stream, 0)
    front_b = _coin_flips(cut_b, examples.key, stream, 1)
    return dataclasses.replace(
        examples,
        a_start=examples.a_start + front_a,
        a_length=a - cut_a,
        b_start=examples.b_start + front_b,
        b_length=b - cut_b,
    )


def _coin_flips(flips: np.ndarray, key: np.ndarray, stream, segment: int) -> np.ndarray:
    """Draws the number of heads in `flips` tosses of a fair coin, 64 per hash."""
    heads = np.zeros_like(flips)
    for word in range(-(-int(flips.max(initial=0)) // 64)):
        open_rows = np.flatnonzero(flips > 64 * word)
        coins = draws.bits64(*stream, Purpose.TRUNCATION, key[open_rows], segment, word)
        unused = np.maximum(64 * (word + 1) - flips[open_rows], 0).astype(np.uint64)
        heads[open_rows] += np.bitwise_count(coins >> unused)
    return heads
