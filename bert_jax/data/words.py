"""Plain text as words: where each begins and ends in the text."""

import unicodedata
from typing import NamedTuple

from bert_jax.tokenization.normalisation import is_cjk, is_punctuation
from bert_jax.tokenization.tokenizer import stands_alone


class Word(NamedTuple):
    """A word of a text: `text[start:end]`."""

    start: int
    end: int


def split_words(text: str) -> list[Word]:
    """Returns the words of a text, in order: what white space separates, cut further as BERT does before WordPiece.

    Each punctuation sign is a word, and so is each character of a script without blanks between words (Chinese, kana,
    Thai, …), with its combining marks. Characters that are not seen (controls, zero-width ones) neither begin nor end
    a word.
    """
    found: list[Word] = []
    open_word = False  # whether the next letter belongs to the last word
    for i, character in enumerate(text):
        category = unicodedata.category(character)
        if category in ("Cc", "Cf") and character not in "\t\n\r":
            continue
        if character.isspace():
            open_word = False
        elif category[0] == "M" and found and found[-1].end == i:
            found[-1] = found[-1]._replace(end=i + 1)
        elif is_punctuation(character) or is_cjk(character) or (category[0] == "L" and stands_alone(character)):
            found.append(Word(i, i + 1))
            open_word = False
        elif open_word:
            found[-1] = found[-1]._replace(end=i + 1)
        else:
            found.append(Word(i, i + 1))
            open_word = True
    return found
