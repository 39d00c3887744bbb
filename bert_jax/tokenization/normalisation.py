"""Splits text into words, exactly as google-research/bert does before WordPiece.

That code made the published vocabularies and models, so all its rules matter: which characters are dropped, which are
spaces, and which are words of their own. As there, Python's Unicode tables decide. The native normaliser of
`tokenizers` differs in places, by its tables or its order (docs/tokenization.md lists them), and is slower than
`str.translate` with a table that is filled on demand.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

import numpy as np

CJK_RANGES = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def is_cjk(character: str) -> bool:
    """Whether this is a Chinese character by BERT's ranges, which exclude kana, Hangul and later extensions."""
    return any(low <= ord(character) <= high for low, high in CJK_RANGES)


def is_punctuation(character: str) -> bool:
    """Whether this is an ASCII sign, or in a Unicode category of punctuation."""
    return character in ASCII_PUNCTUATION or unicodedata.category(character)[0] == "P"


class Normaliser:
    """Cleans text, changes case and accents, and splits at spaces, punctuation and Chinese characters.

    Attributes:
      lowercase, strip_accents, split_cjk: which of these steps to take.
    """

    def __init__(self, lowercase: bool, strip_accents: bool, split_cjk: bool):
        self.lowercase, self.strip_accents, self.split_cjk = lowercase, strip_accents, split_cjk
        self._clean = _Table(self._clean_character)
        self._cut = _Table(_cut_character)
        self._whole = _Table(self._whole_character)

    def words(self, text: str) -> list[str]:
        """The words of `text`. Each punctuation sign and Chinese character is a word."""
        try:
            return text.translate(self._whole).split()
        except _NeedsNeighbours:
            return self._recased(text.translate(self._clean)).translate(self._cut).split()

    def located_words(self, text: str) -> list[tuple[str, np.ndarray]]:
        """The words of `text`, and the character of `text` that each of their letters comes from: int64 [letters]."""
        try:
            normal, origins = _joined([self._whole[ord(character)] for character in text], np.arange(len(text)))
        except _NeedsNeighbours:
            clean, origins = _joined([self._clean[ord(character)] for character in text], np.arange(len(text)))
            recased, origins = self._located_recased(clean, origins)
            normal, origins = _joined([self._cut[ord(character)] for character in recased], origins)
        return [(word[0], origins[word.start() : word.end()]) for word in re.finditer(r"\S+", normal)]

    def _located_recased(self, text: str, origins: np.ndarray) -> tuple[str, np.ndarray]:
        """The same as `_recased`, step by step, with the origins of the result's letters."""
        if self.lowercase:
            # Only the form of a capital sigma depends on its neighbours, and both forms are one character.
            _, origins = _joined([character.lower() for character in text], origins)
            text = text.lower()
        if self.strip_accents:
            text, origins = _joined([unicodedata.normalize("NFD", character) for character in text], origins)
            # NFD sorts each run of marks by their classes, and keeps the order within a class.
            classes = np.array([unicodedata.combining(character) for character in text], np.int64)
            runs = np.cumsum((classes == 0) | (np.append(0, classes[:-1]) == 0))
            order = [i for i in np.lexsort((classes, runs)).tolist() if unicodedata.category(text[i]) != "Mn"]
            text, origins = "".join(text[i] for i in order), origins[order]
        return text, origins

    def _whole_character(self, character: str) -> str:
        """All three steps at once. This is correct unless the result depends on neighbouring characters."""
        text = self._recased(self._clean_character(character))
        # str.lower() has two forms for a capital sigma. NFD sorts neighbouring marks, and some marks are kept.
        if (self.lowercase and character == "Σ") or (
            self.strip_accents and any(unicodedata.combining(c) for c in text)
        ):
            raise _NeedsNeighbours
        return text.translate(self._cut)

    def _clean_character(self, character: str) -> str:
        if character in "\t\n\r":
            return " "
        if character in "\0\ufffd" or unicodedata.category(character) in ("Cc", "Cf"):
            return ""
        if character.isspace():  # Unicode's Zs, and the two separators at which str.split() splits
            return " "
        return f" {character} " if self.split_cjk and is_cjk(character) else character

    def _recased(self, text: str) -> str:
        if self.lowercase:
            text = text.lower()
        if self.strip_accents:
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
        return text


def _joined(parts: Iterable[str], origins: np.ndarray) -> tuple[str, np.ndarray]:
    """What characters became, as one text, and the origin of each of its letters, given that of each character."""
    parts = list(parts)
    return "".join(parts), np.repeat(origins, list(map(len, parts)))


class _NeedsNeighbours(Exception):  # noqa: N818 (a signal, not an error)
    """Found a character whose normalisation depends on its neighbours."""


class _Table(dict):
    """A table for `str.translate`, which calls `normalise` once for each character."""

    def __init__(self, normalise: Callable[[str], str]):
        self._normalise = normalise

    def __missing__(self, code: int) -> str:
        self[code] = result = self._normalise(chr(code))
        return result


def _cut_character(character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"  # a lone surrogate has no UTF-8; U+FFFD itself has been dropped, so they cannot be confused
    return f" {character} " if is_punctuation(character) else character
