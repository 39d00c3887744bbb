"""Sentences of given words as pieces in windows."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from bert_jax.data.texts import EncodedTexts
from bert_jax.data.windows import cover, keepers
from bert_jax.tokenization import Tokenizer


@dataclasses.dataclass(frozen=True)
class WordPieces:
    """Words as pieces. Words are counted through all sentences.

    Attributes:
      texts: the windows; a sentence that fits is one.
      word: int64 [tokens], the word of each piece in `texts.token_ids`.
      begins: bool [tokens], whether it is the first piece of its word.
      counts: bool [tokens], whether its word counts in its window: each word does in one.
      num_windowed: the number of sentences that take several windows.
      num_cut: the number of words that were longer than a window; they lose their end.
      num_unknown: the number of words without a piece; they are `[UNK]`.
    """

    texts: EncodedTexts
    word: np.ndarray
    begins: np.ndarray
    counts: np.ndarray
    num_windowed: int
    num_cut: int
    num_unknown: int

    @property
    def deciders(self) -> np.ndarray:
        """The piece that decides the tag of each word, int64 [words]: its first one in the window where it counts."""
        chosen = np.flatnonzero(self.begins & self.counts)
        return chosen[np.argsort(self.word[chosen])]


def cut_words(sentences: Sequence[Sequence[str]], tokenizer: Tokenizer, longest: int, overlap: int) -> WordPieces:
    """Cuts the words of sentences into pieces, and long sentences into windows.

    Args:
      sentences: the words of each. They are encoded one by one, each as after a space.
      tokenizer: makes the pieces.
      longest: the most tokens in a window, with special tokens.
      overlap: the tokens that neighbouring windows share at most; see `windows.cover`.
    """
    room = longest - 2
    ids = _ids(itertools.chain(*sentences), tokenizer)
    pieces: list[tuple[int, ...]] = []  # of each window
    word: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    done = num_windowed = num_cut = num_unknown = 0
    for sentence in sentences:
        whole = [ids[one] for one in sentence]
        num_cut += sum(len(one) > room for one in whole)
        num_unknown += sum(not one for one in whole)
        cut = [one[:room] or (tokenizer.unk_id,) for one in whole]
        sizes = np.array([len(one) for one in cut], np.int64)
        windows = cover(sizes, room, overlap)
        kept = keepers(windows, sizes)
        num_windowed += len(windows) > 1
        for i, (first, end) in enumerate(windows):
            pieces.append(tuple(itertools.chain(*cut[first:end])))
            word.append(done + np.arange(first, end))
            lengths.append(sizes[first:end])
            counts.append(kept[first:end] == i)
        done += len(sentence)
    nothing = np.zeros(0, np.int64)
    size = np.concatenate([nothing, *lengths])
    begins = np.zeros(int(size.sum()), bool)
    begins[np.cumsum(size) - size] = True
    return WordPieces(
        texts=EncodedTexts.of([(one, ()) for one in pieces], longest),
        word=np.concatenate([nothing, *word]).repeat(size),
        begins=begins,
        counts=np.concatenate([nothing.astype(bool), *counts]).repeat(size),
        num_windowed=num_windowed,
        num_cut=num_cut,
        num_unknown=num_unknown,
    )


def _ids(words: Iterable[str], tokenizer: Tokenizer) -> dict[str, tuple[int, ...]]:
    """The pieces of each word."""
    known = dict.fromkeys(words)
    return dict(zip(known, map(tuple, tokenizer.encode_batch(f" {word}" for word in known)), strict=True))
