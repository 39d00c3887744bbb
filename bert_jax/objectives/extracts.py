"""Extracts: summaries made of some sentences of a document.

document = Document(("It rained.", "The match was cancelled.", "Fans went home."), ("The match was called off.",))
chosen = document.best(2)  # by its references
document.top(scores, 2)  # by a model's scores
document.rouge(chosen)
"""

import collections
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_jax.objectives.rouge import ascii_words, best_overlaps, grams, joined, words

KINDS = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"}
ASCII = "_ascii"  # ends the names of scores that are of a-z and 0-9 alone

Lines = tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Document:
    """A document, and summaries of it that people wrote.

    Attributes:
      sentences: of the document.
      references: the summaries, each with a sentence on each line; none if they are not known.
      labels: 1 for each sentence that belongs into the summary, else 0; None if they are not known.
      where: its place for error messages.
    """

    sentences: tuple[str, ...]
    references: tuple[str, ...] = ()
    labels: tuple[int, ...] | None = None
    where: str = ""

    @functools.cached_property
    def words(self) -> Lines:
        """The words of each sentence."""
        return tuple(tuple(words(sentence)) for sentence in self.sentences)

    @functools.cached_property
    def _reference_words(self) -> tuple[Lines, ...]:
        return tuple(tuple(tuple(words(line)) for line in one.split("\n")) for one in self.references)

    @functools.cached_property
    def _ascii_words(self) -> tuple[Lines, tuple[Lines, ...]]:
        """The same of a-z and 0-9 alone: of the sentences, and of the references."""
        references = (tuple(tuple(ascii_words(line)) for line in one.split("\n")) for one in self.references)
        return tuple(tuple(ascii_words(sentence)) for sentence in self.sentences), tuple(references)

    def top(self, scores: np.typing.ArrayLike, count: int, block_trigrams: bool = False) -> tuple[int, ...]:
        """Returns the indices of the `count` sentences with the highest scores, in the order of the document.

        Args:
          scores: [sentences]. Of equal ones, the first sentence wins.
          count: fewer are chosen if no more sentences with a word are left.
          block_trigrams: whether a sentence is passed over that shares three words in a row with one that is chosen
            (Paulus et al. 2017, arXiv 1705.04304).
        """
        chosen, seen = [], set()
        for index in np.argsort(-np.asarray(scores), kind="stable").tolist():
            trigrams = set(grams(self.words[index], 3))
            if len(chosen) == count:
                break
            if self.words[index] and not (block_trigrams and trigrams & seen):
                chosen.append(index)
                seen |= trigrams
        return tuple(sorted(chosen))

    def lead(self, count: int) -> tuple[int, ...]:
        """Returns the indices of the first `count` sentences that have a word."""
        return self.top(np.zeros(len(self.sentences)), count)

    def best(self, count: int) -> tuple[int, ...]:
        """Returns the indices of at most `count` sentences that come close to a reference, in order: an oracle.

        One sentence after the other is added, the one with which the mean of ROUGE-1 and ROUGE-2 becomes the highest,
        as long as it rises (Nallapati et al. 2017, arXiv 1611.04230). Of several references, the nearest counts. Where
        no sentence has a word of a reference, none is chosen.
        """
        chosen: tuple[int, ...] = ()
        reached = 0.0
        for _ in range(count):
            options = [tuple(sorted((*chosen, i))) for i in range(len(self.sentences)) if i not in chosen]
            values = [self._closeness(option) for option in options]
            if not values or max(values) <= reached:
                break
            reached = max(values)
            chosen = options[values.index(reached)]
        return chosen

    def _closeness(self, chosen: Sequence[int]) -> float:
        """The mean of ROUGE-1 and ROUGE-2, with the references counted once: labelling a large file takes long."""
        own = joined([self.words[i] for i in chosen])
        return max(sum(_f1(grams(own, n), other) for n, other in one.items()) / 2 for one in self._reference_grams)

    @functools.cached_property
    def _reference_grams(self) -> list[dict[int, collections.Counter]]:
        """The words and the pairs of words of each reference, and how often each occurs."""
        return [{n: collections.Counter(grams(joined(one), n)) for n in (1, 2)} for one in self._reference_words]

    def rouge(self, chosen: Sequence[int]) -> dict[str, float]:
        """Returns the F1 of each of `KINDS` between some sentences and the reference that is the nearest by it.

        Names that end in `_ascii` are of a-z and 0-9 alone, as rouge-score computes them.
        """
        found = {}
        same = (self.words, self._reference_words) == self._ascii_words
        for end, (lines, references) in (("", (self.words, self._reference_words)), (ASCII, self._ascii_words)):
            if end and same:
                found |= {f"{kind}{end}": value for kind, value in found.items()}
            else:
                overlaps = best_overlaps([lines[i] for i in chosen], references)
                found |= {f"{kind}{end}": overlap.f1 for kind, overlap in overlaps.items()}
        return found


def _f1(own: Sequence[Any], other: collections.Counter) -> float:
    left, common = dict(other), 0
    for gram in own:
        if left.get(gram, 0):
            left[gram] -= 1
            common += 1
    return 2 * common / max(len(own) + other.total(), 1)
