"""BERT's tokenisation as Devlin et al. describe and release it, in plain slow steps: what the fast one must equal."""

import re
import unicodedata


def reference_ids(text: str, ids: dict[str, int], lowercase: bool) -> list[int]:
    """Basic tokenisation, then the greedy longest match of each word among the pieces of `ids`."""
    return [i for word in basic_words(text, lowercase) for i in match(word, ids)]


def basic_words(text: str, lowercase: bool) -> list[str]:
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            kept.append(" ")
        elif character not in "\0\ufffd" and category not in ("Cc", "Cf"):
            kept.append(f" {character} " if CHINESE.match(character) else character)
    words = []
    for word in "".join(kept).split():
        if lowercase:
            decomposed = unicodedata.normalize("NFD", word.lower())
            word = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
        piece = ""
        for character in word:
            if is_sign(character):
                words += [piece, character]
                piece = ""
            else:
                piece += character
        words.append(piece)
    return " ".join(words).split()


CHINESE = re.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f]"
)


def is_sign(character: str) -> bool:
    ascii_sign = "!" <= character <= "~" and not character.isalnum()
    return ascii_sign or unicodedata.category(character).startswith("P")


def match(word: str, ids: dict[str, int]) -> list[int]:
    if len(word) > 200:
        return [ids["[UNK]"]]
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in ids:
                found.append(ids[piece])
                start = end
                break
        else:
            return [ids["[UNK]"]]
    return found
