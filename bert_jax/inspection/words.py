"""The word embeddings: which words are near each other, and where they lie in two dimensions."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bert_jax.errors import ConfigError
from bert_jax.inspection.token_names import readable, word_id
from bert_jax.pretrained import Pretrained


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A token of the vocabulary, and the cosine of its vector with that of a word."""

    token: str
    cosine: float


@dataclasses.dataclass(frozen=True)
class WordMap:
    """Words in the plane in which their vectors differ most.

    Attributes:
      words: n words.
      places: float32 [n, 2].
      variance: float32 [2], the share of the variance that each axis shows.
    """

    words: list[str]
    places: np.ndarray
    variance: np.ndarray


def nearest_words(bert: Pretrained, word: str, top: int = 10) -> list[Neighbour]:
    """Returns the tokens whose vectors in the embedding table have the highest cosine with that of a word.

    Args:
      bert: the model.
      word: a word that is one token.
      top: how many; neither the word itself nor special tokens are among them.

    Raises:
      TokenizerError: the word is not one token.
    """
    chosen = word_id(bert.tokenizer, word)
    ids = bert.tokenizer.ordinary_ids
    ids = ids[ids != chosen]
    table = np.asarray(bert.params["bert"]["embeddings"]["word"])  # may have GB: there is no second one
    lengths = np.sqrt(np.einsum("vh,vh->v", table, table))
    cosines = (table @ table[chosen] / np.maximum(lengths * lengths[chosen], 1e-12))[ids]
    best = np.argsort(-cosines, kind="stable")[:top]
    names = readable(bert.tokenizer, ids[best].tolist())
    return [Neighbour(name, float(cosines[i])) for name, i in zip(names, best, strict=True)]


def word_map(bert: Pretrained, words: Sequence[str]) -> WordMap:
    """Returns the first two principal components of the vectors of some words in the embedding table.

    The signs of the axes are fixed: the coordinate that weighs most in an axis has a positive weight.

    Args:
      bert: the model.
      words: at least three, each of one token.

    Raises:
      ConfigError: there are fewer than three words.
      TokenizerError: a word is not one token.
    """
    if len(words) < 3:
        raise ConfigError(f"A map needs at least three words, but there are {len(words)}.")
    ids = np.array([word_id(bert.tokenizer, word) for word in words])
    vectors = np.asarray(bert.params["bert"]["embeddings"]["word"][ids], np.float64)
    left, values, axes = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    signs = np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(1)])
    places = left[:, :2] * values[:2] * signs
    return WordMap(list(words), places.astype(np.float32), (values[:2] ** 2 / (values**2).sum()).astype(np.float32))
