"""Segment pairs as google-research/bert makes them, for all documents of a block at once.

A document's sentences are gathered into chunks of a target length. A chunk is cut in two at a random sentence: either
the second part is B (label 0, "is next"), or B comes from a random place of another document (label 1) and the second
part goes back to be the start of the next chunk. A chunk of one sentence has no second part: its B is always random.
Pairs that are too long lose tokens one by one from the longer segment, at a random end each.
Source: create_pretraining_data.py of github.com/google-research/bert (Devlin et al. 2018).
"""

import dataclasses

import numpy as np

from bert_jax.data import draws
from bert_jax.data.blocks import Pieces
from bert_jax.data.draws import Purpose

NUM_SPECIAL = 3  # [CLS] A [SEP] B [SEP]
# As in the source: another document is looked for so many times.
RANDOM_DOCUMENT_TRIES = 10


@dataclasses.dataclass(frozen=True)
class Examples:
    """Pairs as ranges of the corpus; all arrays [examples].

    Attributes:
      a_start, b_start: int64, first token of each segment in the split's token_ids.
      a_length, b_length: int64, tokens of each segment, special tokens not counted.
      is_random: bool, B is from elsewhere.
      is_true: bool, the label tells the truth; False where no other document was found for a random B.
      is_free: bool, the label is true and was drawn; False where a one-sentence chunk forced it.
      key: uint32, names the example for every later draw.
    """

    a_start: np.ndarray
    a_length: np.ndarray
    b_start: np.ndarray
    b_length: np.ndarray
    is_random: np.ndarray
    is_true: np.ndarray
    is_free: np.ndarray
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
        """Tokens in the row, special tokens included."""
        return self.a_length + self.b_length + NUM_SPECIAL


def make_pairs(
    pieces: Pieces,
    sentence_starts: np.ndarray,
    sequence_length: int,
    short_probability: float,
    stream: tuple[int, ...],
) -> Examples:
    """All pairs of some pieces.

    Args:
      pieces: what to take sentences from.
      sentence_starts: int64 [sentences + 1], the split's token offsets.
      sequence_length: tokens of a row at most.
      short_probability: share of documents with a random, shorter target length (`short_seq_prob`).
      stream: integers that name these draws: seed, epoch, block, pass.
    """
    # Local numbering: the pieces' sentences one after the other, `offsets` their local token offsets.
    counts = pieces.end - pieces.begin
    local_begin = np.cumsum(counts) - counts
    local_end = local_begin + counts
    sentence = np.arange(counts.sum()) + np.repeat(pieces.begin - local_begin, counts)
    token_start = sentence_starts[sentence]
    offsets = np.concatenate([[0], np.cumsum(sentence_starts[sentence + 1] - token_start)])

    piece = np.arange(len(pieces))
    longest = sequence_length - NUM_SPECIAL
    target = np.full(len(pieces), longest)
    short = draws.uniform(*stream, Purpose.TARGET_LENGTH, piece, 0) < short_probability
    target[short] = 2 + draws.integers(longest - 1, *stream, Purpose.TARGET_LENGTH, piece[short], 1)

    rounds = []
    cursor, ordinal = local_begin.copy(), 0
    while len(piece):
        # One chunk of every piece that is not used up: few rounds, each over many pieces.
        begin, goal = cursor[piece], target[piece]
        end = np.minimum(np.searchsorted(offsets, offsets[begin] + goal), local_end[piece])
        size = end - begin
        split = np.ones_like(size)
        several = size >= 2
        split[several] += draws.integers(size[several] - 1, *stream, Purpose.PAIR_SPLIT, piece[several], ordinal)
        is_random = ~several | (draws.uniform(*stream, Purpose.PAIR_IS_RANDOM, piece, ordinal) < 0.5)
        middle = begin + split
        other_begin, other_end, found = _random_text(
            pieces, piece, offsets, local_begin, local_end, goal - (offsets[middle] - offsets[begin]), stream, ordinal
        )
        b_begin, b_end = np.where(is_random, other_begin, middle), np.where(is_random, other_end, end)
        rounds.append(
            (
                token_start[begin],
                offsets[middle] - offsets[begin],
                token_start[b_begin],
                offsets[b_end] - offsets[b_begin],
                is_random,
                found | ~is_random,
                several & (found | ~is_random),
                draws.bits64(*stream, Purpose.EXAMPLE, piece, ordinal).astype(np.uint32),
            )
        )
        cursor[piece] = np.where(is_random, middle, end)
        piece = piece[cursor[piece] < local_end[piece]]
        ordinal += 1
    columns = [np.concatenate(column) for column in zip(*rounds, strict=True)]
    return _truncate(Examples(*columns), longest, stream)


def _random_text(pieces, piece, offsets, local_begin, local_end, goal, stream, ordinal):
    """Sentences of another document, from a random one on, until `goal` tokens: (begin, end, found), local."""
    other = np.zeros_like(piece)
    found = np.zeros(len(piece), bool)
    for attempt in range(RANDOM_DOCUMENT_TRIES):
        missing = np.flatnonzero(~found)
        if not len(missing):
            break
        draw = draws.integers(len(pieces), *stream, Purpose.RANDOM_DOCUMENT, piece[missing], ordinal, attempt)
        other[missing] = draw
        found[missing] = pieces.document[draw] != pieces.document[piece[missing]]
    begin = local_begin[other] + draws.integers(
        local_end[other] - local_begin[other], *stream, Purpose.RANDOM_START, piece, ordinal
    )
    # Always at least one sentence, also where A alone fills the target.
    end = np.searchsorted(offsets, offsets[begin] + np.maximum(goal, 1))
    return begin, np.minimum(end, local_end[other]), found


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
