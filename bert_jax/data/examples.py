"""Examples from documents, for all documents of a block at once: pairs of segments, or single ones.

A document's sentences are gathered into chunks of a target length, and a chunk becomes an example:

  bert            it is cut in two at a random sentence: either the second part is B (label 0, "is next"), or B comes
                  from a random place of another document (label 1) and the second part goes back to be the start of the
                  next chunk. A chunk of one sentence has no second part: its B is always random. Pairs that are too
                  long lose tokens one by one from the longer segment, at a random end each.
                  Source: create_pretraining_data.py of github.com/google-research/bert (Devlin et al. 2018).
  sentence_order  it is cut in two, and the parts are A and B (label 0) or B and A (label 1); a chunk of one sentence is
                  a single segment whose label does not count (ALBERT, Lan et al. 2020, arXiv 1909.11942).
  candidates      it is cut in two, and the parts are two examples that stand together in a row; nothing looks from one
                  to the other. A chunk of one sentence has no next and does not count.
  full_sentences  as many sentences as fit are one segment; a sentence longer than a row is cut. Documents do not share
                  an example: packing fills the row (RoBERTa's DOC-SENTENCES, Liu et al. 2019, arXiv 1907.11692).
"""

import dataclasses

import numpy as np

from bert_jax.data import draws
from bert_jax.data.blocks import Pieces
from bert_jax.data.draws import Purpose

# As in the source: another document is looked for so many times.
RANDOM_DOCUMENT_TRIES = 10


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples as ranges of the corpus; all arrays [examples].

    Attributes:
      a_start, b_start: int64, first token of each segment in the split's token_ids.
      a_length, b_length: int64, tokens of each segment, special tokens not counted; b_length is 0 without a B.
      label: bool, B is from elsewhere, or the segments are swapped.
      is_true: bool, the label tells the truth; False where no other document was found for a random B, and without a B.
      is_free: bool, the label is true and was drawn; False where a one-sentence chunk forced it.
      source: int64, the source it was taken from.
      document: int64, the document it (or its A) was taken from.
      key: uint32, names the example for every later draw.
    """

    a_start: np.ndarray
    a_length: np.ndarray
    b_start: np.ndarray
    b_length: np.ndarray
    label: np.ndarray
    is_true: np.ndarray
    is_free: np.ndarray
    source: np.ndarray
    document: np.ndarray
    key: np.ndarray

    def __len__(self) -> int:
        return len(self.key)

    def take(self, index: np.ndarray) -> "Examples":
        """The examples at some indices."""
        return Examples(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))

    @classmethod
    def concatenate(cls, parts: "list[Examples]") -> "Examples":
        """All examples of several parts, in order."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    @property
    def length(self) -> np.ndarray:
        """Tokens in the row, special tokens included: [CLS] A [SEP] B [SEP], or [CLS] A [SEP]."""
        return self.a_length + self.b_length + 2 + (self.b_length > 0)


def make_examples(
    pieces: Pieces,
    sentence_starts: np.ndarray,
    kind: str,
    sequence_length: int,
    short_probability: float,
    source: int,
    stream: tuple[int, ...],
) -> Examples:
    """All examples of some pieces.

    Args:
      pieces: what to take sentences from.
      sentence_starts: int64 [sentences + 1], the split's token offsets.
      kind: as `DataConfig.examples`; of `candidates` the pairs, see `split_pairs`.
      sequence_length: tokens of a row at most.
      short_probability: share of documents with a random, shorter target length (`short_seq_prob`).
      source: what the pieces belong to.
      stream: integers that name these draws: seed, phase, source, epoch, block, pass.
    """
    text = _LocalText.of(pieces, sentence_starts)
    longest = sequence_length - {"full_sentences": 2, "candidates": 4}.get(kind, 3)
    piece = np.arange(len(pieces))
    target = np.full(len(pieces), longest)
    short = draws.uniform(*stream, Purpose.TARGET_LENGTH, piece, 0) < short_probability
    target[short] = 2 + draws.integers(longest - 1, *stream, Purpose.TARGET_LENGTH, piece[short], 1)

    make = {
        "bert": _bert,
        "balanced": _bert,
        "sentence_order": _sentence_order,
        "full_sentences": _full_sentences,
        "candidates": _in_order,
    }
    rounds, cursor, ordinal = [], text.begin.copy(), 0
    while len(piece):
        # One chunk of every piece that is not used up: few rounds, each over many pieces.
        bits = draws.bits64(*stream, Purpose.EXAMPLE, ordinal, piece)
        chunk = _Chunk(piece, cursor[piece], target[piece], bits)
        made, cursor[piece] = make[kind](text, pieces, chunk)
        rounds.append((*made, np.full(len(piece), source), pieces.document[piece], bits.astype(np.uint32)))
        piece = piece[cursor[piece] < text.end[piece]]
        ordinal += 1
    columns = [np.concatenate(column) for column in zip(*rounds, strict=True)]
    return _truncate(Examples(*columns), longest, stream)


@dataclasses.dataclass(frozen=True)
class _LocalText:
    """The pieces' sentences one after the other, numbered from 0: the numbers used below.

    Attributes:
      begin, end: [pieces], first sentence of each piece, and one past its last.
      token_start: [sentences], first token in the split.
      offsets: [sentences + 1], the same as if the pieces were all there is.
    """

    begin: np.ndarray
    end: np.ndarray
    token_start: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, pieces: Pieces, sentence_starts: np.ndarray) -> "_LocalText":
        counts = pieces.end - pieces.begin
        begin = np.cumsum(counts) - counts
        sentence = np.arange(counts.sum()) + np.repeat(pieces.begin - begin, counts)
        token_start = sentence_starts[sentence]
        offsets = np.concatenate([[0], np.cumsum(sentence_starts[sentence + 1] - token_start)])
        return cls(begin, begin + counts, token_start, offsets)

    def tokens(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """How many tokens the sentences begin..end have."""
        return self.offsets[end] - self.offsets[begin]

    def until(self, begin: np.ndarray, goal: np.ndarray, limit: np.ndarray) -> np.ndarray:
        """One past the first sentence with which `goal` tokens from `begin` are reached, `limit` at most."""
        return np.minimum(np.searchsorted(self.offsets, self.offsets[begin] + goal), limit)


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """One chunk of each of some pieces: the piece, its first sentence, the tokens wanted, the bits of all its draws."""

    piece: np.ndarray
    begin: np.ndarray
    goal: np.ndarray
    bits: np.ndarray

    def middle(self, end: np.ndarray) -> np.ndarray:
        """A random sentence to cut at: at least one before it, and at least one after it where there are two."""
        size = end - self.begin
        several = size >= 2
        split = np.ones_like(size)
        split[several] += draws.integers(size[several] - 1, Purpose.PAIR_SPLIT, self.bits[several])
        return self.begin + split

    def coin(self) -> np.ndarray:
        """The label, where it is free."""
        return draws.uniform(Purpose.PAIR_LABEL, self.bits) < 0.5


def _bert(text, pieces, chunk):
    """The columns of `Examples` up to is_free, and where each piece goes on."""
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
    """Sentences of another document, from a random one on, until `goal` tokens: (begin, end, found)."""
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
    # Always at least one sentence, also where A alone fills the target.
    return begin, text.until(begin, np.maximum(goal, 1), text.end[other]), found


def _sentence_order(text, pieces, chunk):
    return _neighbours(text, chunk, swapped=chunk.coin())


def _in_order(text, pieces, chunk):
    return _neighbours(text, chunk, swapped=np.zeros(len(chunk.piece), bool))


def _neighbours(text, chunk, swapped):
    end = text.until(chunk.begin, chunk.goal, text.end[chunk.piece])
    middle = chunk.middle(end)
    several = end - chunk.begin >= 2
    swapped = several & swapped
    a_begin, a_end = np.where(swapped, middle, chunk.begin), np.where(swapped, end, middle)
    b_begin, b_end = np.where(swapped, chunk.begin, middle), np.where(swapped, middle, end)
    made = (
        text.token_start[a_begin],
        text.tokens(a_begin, a_end),
        # Without a B there is no first token of it, and its number may lie behind the last one.
        np.where(several, text.token_start[np.minimum(b_begin, len(text.token_start) - 1)], 0),
        text.tokens(b_begin, b_end),
        swapped,
        several,
        several,
    )
    return made, end


def _full_sentences(text, pieces, chunk):
    # The last sentence that still fits whole, but one at least.
    end = np.searchsorted(text.offsets, text.offsets[chunk.begin] + chunk.goal, side="right") - 1
    end = np.minimum(np.maximum(end, chunk.begin + 1), text.end[chunk.piece])
    nothing = np.zeros_like(end)
    never = nothing > 0
    made = (text.token_start[chunk.begin], text.tokens(chunk.begin, end), nothing, nothing, never, never, never)
    return made, end


def split_pairs(pairs: Examples) -> tuple[Examples, np.ndarray]:
    """Each pair as two examples of one segment; and their places: int64 [pairs, 2], -1 where there is no second one."""
    has_b = pairs.b_length > 0
    nothing = np.zeros_like(pairs.b_length)
    first = dataclasses.replace(pairs, b_start=nothing, b_length=nothing)
    key = draws.bits64(Purpose.SECOND, pairs.key).astype(np.uint32)
    second = dataclasses.replace(first, a_start=pairs.b_start, a_length=pairs.b_length, key=key)
    ordinal = np.cumsum(has_b) - 1 + len(pairs)
    rows = np.stack([np.arange(len(pairs)), np.where(has_b, ordinal, -1)], axis=1)
    return Examples.concatenate([first, second.take(np.flatnonzero(has_b))]), rows


def _truncate(examples: Examples, longest: int, stream) -> Examples:
    """Cuts pairs to `longest` tokens in all: the longer segment loses, B where they are equal."""
    a, b = examples.a_length, examples.b_length
    excess = np.maximum(a + b - longest, 0)
    gap = np.minimum(np.abs(a - b), excess)
    rest = excess - gap  # taken in turn, starting with B
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
    """How many of `flips` fair coins fall on their head: 64 coins a hash."""
    heads = np.zeros_like(flips)
    for word in range(-(-int(flips.max(initial=0)) // 64)):
        open_rows = np.flatnonzero(flips > 64 * word)
        coins = draws.bits64(*stream, Purpose.TRUNCATION, key[open_rows], segment, word)
        unused = np.maximum(64 * (word + 1) - flips[open_rows], 0).astype(np.uint64)
        heads[open_rows] += np.bitwise_count(coins >> unused)
    return heads
