"""Splits a corpus into fixed blocks, each of which is a random sample of it.

Documents are cut into pieces at sentence ends, so that a novel and a tweet are treated alike. A sentence longer than a
piece, such as a chromosome, is cut as well. Neighbouring pieces stay together in runs of about RUN_TOKENS, and runs are
dealt to blocks of about BLOCK_TOKENS, once and for all. A block is planned as a whole: its examples are shuffled, and
its random next sentences come from within it. Because its runs are from all over the corpus, a block represents the
whole.
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
      begin: the first sentence, an index into the sentence starts that `cut` returns.
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


def divide(lengths: np.ndarray, longest: int, parts: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Divides texts longer than `longest` into units, of which `parts` in a row have `longest` tokens together.

    Args:
      lengths: int64 [texts], in tokens.
      longest: up to this length, a text is a single unit.
      parts: the number of units in `longest` tokens, at most `longest`.

    Returns:
      The text of each unit, and the offset within it at which the unit begins, both int64 [units].
    """
    units = np.where(lengths > longest, -(-lengths * parts // longest), 1)
    text = np.repeat(np.arange(len(lengths)), units)
    ordinal = np.arange(len(text)) - np.repeat(np.cumsum(units) - units, units)
    return text, ordinal * longest // parts


def cut(split: Split) -> tuple[Pieces, np.ndarray]:
    """Cuts a split into pieces.

    Returns:
      All pieces in corpus order, and the token offset of each sentence, int64 [sentences + 1]; a sentence longer than
      RUN_TOKENS counts as several.
    """
    starts, documents = _cut_sentences(np.asarray(split.sentence_starts), np.asarray(split.document_starts))
    begin, end = documents[:-1], documents[1:]
    document = np.arange(len(begin))
    length = starts[end] - starts[begin]
    long = np.flatnonzero(length > RUN_TOKENS)
    if len(long):
        # Long documents are cut before the first sentence at or after each multiple of RUN_TOKENS.
        cuts_per = (length[long] - 1) // RUN_TOKENS
        owner = np.repeat(long, cuts_per)
        ordinal = np.arange(len(owner)) - np.repeat(np.cumsum(cuts_per) - cuts_per, cuts_per) + 1
        inner = np.searchsorted(starts, starts[begin[owner]] + ordinal * RUN_TOKENS)
        inside = (inner > begin[owner]) & (inner < end[owner])
        begin, first = np.unique(np.concatenate([begin, inner[inside]]), return_index=True)
        document = np.concatenate([document, owner[inside]])[first]
        end = np.append(begin[1:], documents[-1])
    return Pieces(begin, end, document), starts


def _cut_sentences(starts: np.ndarray, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts sentences longer than RUN_TOKENS. Returns the new sentence starts and document starts."""
    lengths = np.diff(starts)
    if not (lengths > RUN_TOKENS).any():
        return starts, documents
    sentence, offset = divide(lengths, RUN_TOKENS)
    # The first unit of each sentence, and one past the last unit.
    first = np.searchsorted(sentence, np.arange(len(starts)))
    return np.append(starts[sentence] + offset, starts[-1]), first[documents]


class Blocks:
    """The blocks of a split.

    Attributes:
      tokens: int64 [blocks], the number of tokens in each.
      sentence_starts: int64 [sentences + 1], token offsets, to which the pieces refer.
    """

    def __init__(self, split: Split, seed: int):
        pieces, self.sentence_starts = cut(split)
        run = self.sentence_starts[pieces.begin] // RUN_TOKENS
        _, run = np.unique(run, return_inverse=True)
        num_runs = int(run[-1]) + 1
        num_blocks = max(1, round(split.num_tokens / BLOCK_TOKENS))
        # Runs are dealt like cards, so that the sizes of blocks differ by one run at most.
        deal = np.empty(num_runs, np.int64)
        deal[draws.permutation(num_runs, seed, draws.Purpose.PIECE_TO_BLOCK)] = np.arange(num_runs) % num_blocks
        block = deal[run]
        order = np.argsort(block, kind="stable")
        lengths = self.sentence_starts[pieces.end] - self.sentence_starts[pieces.begin]
        self._pieces = pieces.take(order)
        self._starts = np.searchsorted(block[order], np.arange(num_blocks + 1))
        self.tokens = np.bincount(block, weights=lengths, minlength=num_blocks).astype(np.int64)

    def __len__(self) -> int:
        return len(self.tokens)

    def pieces(self, block: int) -> Pieces:
        """The pieces of one block."""
        return self._pieces.take(np.arange(self._starts[block], self._starts[block + 1]))
