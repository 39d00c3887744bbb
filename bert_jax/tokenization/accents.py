"""What removing accents would do to a text: in some scripts, marks are accents; in others, they are letters.

BERT's uncased vocabularies decompose characters and drop their marks (`é` becomes `e`). In Devanagari, Thai, Arabic or
kana this drops vowels and consonants, and it takes the syllables of Hangul apart.
"""

import dataclasses
import unicodedata
from collections.abc import Mapping
from typing import Self

# The scripts for which BERT's rule was made, by the first word of their letters' Unicode names.
ALPHABETS = ("LATIN", "GREEK", "CYRILLIC")
ACCENT, SELECTOR = "COMBINING", "VARIATION"  # a mark of any script; the sign that chooses the form of an emoji
# Text in which more letters than this share would change has a script whose marks are letters. In text of other
# scripts, foreign names make up 0.005 % or less; in Arabic, 5 % change, in Japanese 7 %, in Thai and Hindi about 30 %.
LETTER_SHARE = 0.001


@dataclasses.dataclass(frozen=True)
class Marks:
    """How many letters of a text would be changed by removing accents.

    Attributes:
      letters: all letters, with marks that have no precomposed form.
      accented: those of Latin, Greek or Cyrillic script that would lose an accent.
      changed: those of other scripts that would be dropped, lose a part or be taken apart.
    """

    letters: int = 0
    accented: int = 0
    changed: int = 0

    @classmethod
    def count(cls, characters: Mapping[str, int]) -> Self:
        """Counts the letters among the characters of a text, given how often each occurs."""
        letters = accented = changed = 0
        for character, count in characters.items():
            category = unicodedata.category(character)
            script = unicodedata.name(character, "").partition(" ")[0]
            if (category[0] != "L" and category != "Mn") or script == SELECTOR:
                continue
            letters += count if script != ACCENT else 0
            if category == "Mn" or unicodedata.normalize("NFD", character) != character:
                if script in (*ALPHABETS, ACCENT):
                    accented += count
                elif script != "CJK":  # compatibility forms of Chinese characters become the usual ones
                    changed += count
        return cls(letters, accented, changed)

    @property
    def accented_share(self) -> float:
        """Accented letters as a share of all letters."""
        return self.accented / max(self.letters, 1)

    @property
    def are_letters(self) -> bool:
        """Whether the marks of this text are letters, so that removing accents would lose text."""
        return self.changed > LETTER_SHARE * max(self.letters, 1)
