"""ROUGE: how much a summary and a reference have in common (Lin 2004, https://aclanthology.org/W04-1013).

`rouge1` and `rouge2` count words and pairs of neighbours. `rougeL` is the longest common subsequence of the words of
both texts, whatever their lines. `rougeLsum` compares their lines, one sentence each: the union of the longest common
subsequences of a reference's sentence with each sentence of the summary.

Nothing is stemmed, as is the default of the package rouge-score, which all values equal if the words are of `a-z` and
`0-9` (`ascii_words`). It drops all other characters, so that texts in most scripts have no words and accents cut words
in two. `words` has those, too.
"""

import collections
import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

ASCII_WORD = re.compile("[a-z0-9]+")
# First words of the names of characters in scripts that put no space between words: each is a word.
UNSPACED = {
    *("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "BOPOMOFO", "YI"),
    *("THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE", "BALINESE", "TAI"),
}
APART, LETTER, ALONE, MARK, INVISIBLE = range(5)

Words = Sequence[str]


class Overlap(NamedTuple):
    """What two texts have in common.

    Attributes:
      precision: as a share of the summary.
      recall: as a share of the reference.
    """

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean; 0 if there is nothing in common."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def ascii_words(text: str) -> list[str]:
    """Cuts a text into words as rouge-score does: what is neither `a-z` nor `0-9` separates them."""
    return ASCII_WORD.findall(text.lower())


def words(text: str) -> list[str]:
    """Cuts a text into words of any script, in lower case.

    A word consists of letters and digits and of the marks on them, such as accents and vowel signs. In scripts without
    spaces, such as Chinese, Japanese and Thai, each character is a word. Invisible characters within a word, such as
    soft hyphens and joiners, are left out. ASCII text has the words of `ascii_words`.
    """
    if text.isascii():
        return ascii_words(text)
    found: list[str] = []
    before = APART
    for character in unicodedata.normalize("NFC", text.lower()):
        kind = _kind(character)
        if kind == INVISIBLE:
            continue
        if kind == ALONE or (kind == LETTER and before != LETTER):
            found.append(character)
        elif kind != APART and before != APART:
            found[-1] += character
            continue  # a mark changes nothing for what follows
        before = kind if kind != MARK else APART
    return found


@functools.lru_cache(maxsize=1 << 16)
def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if category[0] == "M":
        return MARK
    if category == "Cf":
        return APART if character == "\u200b" else INVISIBLE  # the space of zero width separates
    if category[0] not in "LN":
        return APART
    first = re.split("[ -]", unicodedata.name(character, "").removeprefix("HALFWIDTH "))[0]
    return ALONE if first in UNSPACED else LETTER


def grams(text: Words, n: int) -> list[tuple[str, ...]]:
    """Returns the sequences of `n` words of a text, in order."""
    return list(zip(*(text[i:] for i in range(n)), strict=False))


def rouge_n(summary: Words, reference: Words, n: int) -> Overlap:
    """Compares the sequences of `n` words; each counts as often as it is in both."""
    own, other = (collections.Counter(grams(text, n)) for text in (summary, reference))
    common = sum(min(count, own[gram]) for gram, count in other.items())
    return Overlap(common / max(own.total(), 1), common / max(other.total(), 1))


def rouge_l(summary: Words, reference: Words) -> Overlap:
    """Compares by the longest common subsequence of words."""
    common = (_steps(reference, summary)[-1] ^ _ones(len(summary))).bit_count()
    return Overlap(common / max(len(summary), 1), common / max(len(reference), 1))


def rouge_l_sum(summary: Sequence[Words], reference: Sequence[Words]) -> Overlap:
    """Compares the sentences of two texts, each a sequence of words.

    Of the words of a reference's sentence, those count that are in its longest common subsequence with any sentence of
    the summary; but none more often than it is in the summary. (ROUGE-1.5.5 does so, the paper does not.) Where several
    subsequences are longest, the choice is that of rouge-score.
    """
    left, left_there = (collections.Counter(word for line in text for word in line) for text in (summary, reference))
    own, other, common = left.total(), left_there.total(), 0
    for line in reference:
        union = set().union(*(_common_places(line, sentence) for sentence in summary))
        for word in (line[i] for i in sorted(union)):
            if left[word] > 0 and left_there[word] > 0:
                common += 1
                left[word] -= 1
                left_there[word] -= 1
    return Overlap(common / max(own, 1), common / max(other, 1))


def rouge(summary: str, references: Sequence[str], cut: Callable[[str], list[str]] = words) -> dict[str, Overlap]:
    """Compares a summary with its references, and returns each kind of overlap with the reference that is the best.

    Args:
      summary: a sentence on each line.
      references: one or more; a sentence on each line.
      cut: makes words of a text, `words` or `ascii_words`.
    """
    own = [cut(line) for line in summary.split("\n")]
    return best_overlaps(own, [[cut(line) for line in one.split("\n")] for one in references])


def best_overlaps(summary: Sequence[Words], references: Sequence[Sequence[Words]]) -> dict[str, Overlap]:
    """Does the same with texts that are cut into sentences of words."""
    whole, found = joined(summary), collections.defaultdict(list)
    for lines in references:
        reference = joined(lines)
        found["rouge1"].append(rouge_n(whole, reference, 1))
        found["rouge2"].append(rouge_n(whole, reference, 2))
        found["rougeL"].append(rouge_l(whole, reference))
        found["rougeLsum"].append(rouge_l_sum(summary, lines))
    return {kind: max(overlaps, key=lambda one: one.f1) for kind, overlaps in found.items()}


def joined(lines: Sequence[Words]) -> list[str]:
    """Returns the words of all lines, one after the other."""
    return [word for line in lines for word in line]


def _ones(count: int) -> int:
    return (1 << count) - 1


def _steps(reference: Words, summary: Words) -> list[int]:
    """Bit j of element i is 0 where the longest common subsequence of reference[:i] and summary[:j + 1] is longer than
    with summary[:j] (Hyyrö 2004, "Bit-parallel LCS-length computation revisited")."""
    places: dict[str, int] = collections.defaultdict(int)
    for j, word in enumerate(summary):
        places[word] |= 1 << j
    full = row = _ones(len(summary))
    rows = [row]
    for word in reference:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & full
        rows.append(row)
    return rows


def _common_places(reference: Words, summary: Words) -> list[int]:
    """The indices in the reference of one longest common subsequence, found from its end as rouge-score does."""
    rows, found = _steps(reference, summary), []
    i, j = len(reference), len(summary)
    while i > 0 and j > 0:
        if reference[i - 1] == summary[j - 1]:
            found.append(i - 1)
            i, j = i - 1, j - 1
        elif _length(rows[i], j - 1) > _length(rows[i - 1], j):
            j -= 1
        else:
            i -= 1
    return found


def _length(row: int, j: int) -> int:
    """The length of the longest common subsequence with summary[:j]."""
    return j - (row & _ones(j)).bit_count()
