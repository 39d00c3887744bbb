"""Splits a corpus into fixed blocks, each of which is a random sample of it.

Documents are cut into pieces at sentence ends, so that a novel and a tweet are treated alike. Neighbouring pieces stay
together in runs of about RUN_TOKENS, and runs are dealt to blocks of about BLOCK_TOKENS, once and for all. A block is
planned as a whole: its examples are shuffled, and its random next sentences come from within it. Because its runs are
from all over the corpus, a block represents the whole.
"""

import dataclasses

import numpy as np

from bert_jax.corpus.store import Split
from bert_jax.data import draws

RUN_TOKENS = 1 << 13
BLOCK_TOKENS = 1 << 20


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Contiguous sentences of one document each.

    Attributes (all int64 [pieces]):
      begin: the first sentence.
      end: one past the last sentence.
      document: the document that the piece is from.
    """

    begin: np.ndarray
    end: np.ndarray
    document: np.ndarray

    def __len__(self) -> int:
        return len(self.begin)

    def take(self, index: np.ndarray) -> "Pieces":
        """The pieces at the given indices."""
        return Pieces(self.begin[index], self.end[index], self.document[index])


def cut(split: Split) -> tuple[Pieces, np.ndarray]:
    """Returns all pieces of a split in corpus order, and the token offset at which each begins (int64 [pieces])."""
    begin = np.asarray(split.document_starts[:-1])
    end = np.asarray(split.document_starts[1:])
    document = np.arange(len(begin))
    length = split.sentence_starts[end] - split.sentence_starts[begin]
    long = np.flatnonzero(length > RUN_TOKENS)
    if len(long):
        # Long documents are cut before the first sentence at or after each multiple of RUN_TOKENS.
        cuts_per = (length[long] - 1) // RUN_TOKENS
        owner = np.repeat(long, cuts_per)
        ordinal = np.arange(len(owner)) - np.repeat(np.cumsum(cuts_per) - cuts_per, cuts_per) + 1
        offsets = split.sentence_starts[begin[owner]] + ordinal * RUN_TOKENS
        inner = np.searchsorted(split.sentence_starts, offsets)
        inside = (inner > begin[owner]) & (inner < end[owner])
        starts = np.concatenate([begin, inner[inside]])
        owners = np.concatenate([document, owner[inside]])
        starts, first = np.unique(starts, return_index=True)
        document = owners[first]
        begin, end = starts, np.append(starts[1:], split.document_starts[-1])
    return Pieces(begin, end, document), split.sentence_starts[begin]


class Blocks:
    """The blocks of a split.

    Attributes:
      tokens: int64 [blocks], the number of tokens in each.
    """

    def __init__(self, split: Split, seed: int):
        pieces, offsets = cut(split)
        run = offsets // RUN_TOKENS
        _, run = np.unique(run, return_inverse=True)
        num_runs = int(run[-1]) + 1
        num_blocks = max(1, round(split.num_tokens / BLOCK_TOKENS))
        # Runs are dealt like cards, so that the sizes of blocks differ by one run at most.
        deal = np.empty(num_runs, np.int64)
        deal[draws.permutation(num_runs, seed, draws.Purpose.PIECE_TO_BLOCK)] = np.arange(num_runs) % num_blocks
        block = deal[run]
        order = np.argsort(block, kind="stable")
        lengths = split.sentence_starts[pieces.end] - split.sentence_starts[pieces.begin]
        self._pieces = pieces.take(order)
        self._starts = np.searchsorted(block[order], np.arange(num_blocks + 1))
        self.tokens = np.bincount(block, weights=lengths, minlength=num_blocks).astype(np.int64)

    def __len__(self) -> int:
        return len(self.tokens)

    def pieces(self, block: int) -> Pieces:
        """The pieces of one block."""
        return self._pieces.take(np.arange(self._starts[block], self._starts[block + 1]))
