"""The frequent words of a corpus that a vocabulary has only in pieces."""

import collections
from collections.abc import Iterator

import numpy as np

from bert_jax.corpus.store import PIECE, Corpus, Split
from bert_jax.tokenization import Tokenizer
from bert_jax.tokenization.normalisation import is_punctuation


def frequent_words(corpus: Corpus, tokenizer: Tokenizer, count: int) -> list[str]:
    """Returns the words that occur most often in the training documents, of those that take several pieces.

    Words have a letter and no punctuation. Those that the corpus' own vocabulary cannot spell are unknown.

    Args:
      corpus: with any vocabulary.
      tokenizer: cuts the words.
      count: return at most so many, the most frequent first.
    """
    own, counts = corpus.tokenizer, collections.Counter[str]()
    for ids, number in _runs(corpus.train, own.word_starts):
        if own.unk_id not in ids:
            counts[own.decode(ids).strip()] += number
    found = []
    for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if len(found) == count:
            break
        if _is_word(word) and len(tokenizer.encode(f" {word}")) > 1 and len(tokenizer.spell_words(f" {word}")) == 1:
            found.append(word)
    return found


def _is_word(text: str) -> bool:
    return any(map(str.isalpha, text)) and not any(c.isspace() or is_punctuation(c) for c in text)


def _runs(split: Split, word_starts: np.ndarray) -> Iterator[tuple[list[int], int]]:
    """Yields the ids of words, and how often they occur in a stretch of text; a word may come again."""
    sentences, (first, last) = split.sentence_starts, split.document_starts[[0, -1]]
    while first < last:
        after = max(int(np.searchsorted(sentences, sentences[first] + PIECE, "right")) - 1, first + 1)
        after = min(after, last)
        ids = np.asarray(split.token_ids[sentences[first] : sentences[after]])
        begins = word_starts[ids]
        begins[sentences[first:after] - sentences[first]] = True
        starts = np.flatnonzero(begins)
        lengths = np.diff(starts, append=len(ids))
        for length in np.unique(lengths):
            words = ids[starts[lengths == length][:, None] + np.arange(length)]
            for word, number in zip(*np.unique(words, axis=0, return_counts=True), strict=True):
                yield word.tolist(), int(number)
        first = after
