"""Entities in sentences: reading them from tags, writing them as tags, and scoring predicted ones against gold ones.

`bert_jax/objectives/tags.py` says what tags there are.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.errors import CorpusError, quoted
from bert_jax.objectives.tags import (
    BARE,
    BILOU,
    IOB1,
    IOB2,
    LETTERS,
    OUTSIDE,
    Sentences,
    check,
    check_scheme,
    continues,
    paired,
    problems,
    read_all,
)


class Entity(NamedTuple):
    """An entity's type, empty if tags have none, and the indices of its first and of its last word."""

    type: str
    first: int
    last: int


def entities(tags: Sequence[str], scheme: str = "") -> list[Entity]:
    """Reads the entities of a sentence, in order.

    Args:
      tags: of all its words.
      scheme: empty to read leniently, in whatever scheme the tags are: as conlleval does, a tag that continues nothing
        begins an entity, and an entity ends before a tag that does not continue it. With a scheme, the reading is
        strict: entities with a tag that breaks the scheme's rules do not count.

    Raises:
      CorpusError: a tag is not of the scheme, or `bare`.
    """
    read = read_all(tags)
    found: list[Entity] = []
    for i, tag in enumerate(read):
        if i and continues(read[i - 1], tag):
            found[-1] = found[-1]._replace(last=i)
        elif tag.letter != OUTSIDE:
            found.append(Entity(tag.type, i, i))
    if not scheme:
        return found
    _check_marks(scheme)
    for tag in tags:
        if tag[0] not in LETTERS[scheme] + OUTSIDE:
            raise CorpusError(
                f"The tag {quoted(tag)} has a letter that {scheme} does not have: read it in its own scheme."
            )
    return [one for one in found if not any(any(problems(tags, i, scheme)) for i in range(one.first, one.last + 1))]


def write(found: Iterable[Entity], length: int, scheme: str) -> list[str]:
    """Writes entities, in order and without overlap, as the tags of a sentence of `length` words."""
    _check_marks(scheme)
    tags, before = [OUTSIDE] * length, None
    for one in found:
        inside = one.last - one.first
        if scheme == IOB1:
            touches = before and before.type == one.type and before.last + 1 == one.first
            letters = ("B" if touches else "I") + "I" * inside
        elif scheme == IOB2:
            letters = "B" + "I" * inside
        else:
            last, single = "LU" if scheme == BILOU else "ES"
            letters = "B" + "I" * (inside - 1) + last if inside else single
        tags[one.first : one.last + 1] = [f"{letter}-{one.type}" if one.type else letter for letter in letters]
        before = one
    return tags


def convert(sentences: Sentences, source: str, target: str) -> list[list[str]]:
    """Converts tags from one scheme to another.

    Raises:
      CorpusError: tags break the rules of `source`, or one of the schemes is `bare` and the other is not.
    """
    check_scheme(source)
    check_scheme(target)
    if source == target == BARE:
        return [list(tags) for tags in sentences]
    _check_marks(source)
    if found := check(sentences, source):
        one, others = found[0], f", the first of {len(found)} such faults" if len(found) > 1 else ""
        raise CorpusError(
            f"Sentence {one.sentence + 1}, word {one.word + 1} is not {source}: {one.problem}{others}: correct it, or"
            " repair the tags."
        )
    return [write(entities(tags), len(tags), target) for tags in sentences]


def repair(sentences: Sentences, scheme: str) -> tuple[list[list[str]], int]:
    """Rewrites tags so that they keep to a scheme, with the entities that conlleval finds in them.

    So a stray `I-` begins an entity.

    Returns:
      The tags, and how many of them have changed.

    Raises:
      CorpusError: a tag cannot be read at all.
    """
    _check_marks(scheme)
    repaired = [write(entities(tags), len(tags), scheme) for tags in sentences]
    words = zip(itertools.chain(*sentences), itertools.chain(*repaired), strict=True)
    return repaired, sum(before != after for before, after in words)


@dataclasses.dataclass(frozen=True)
class Found:
    """How many entities were found: of gold and predicted ones, `right` agree in their words and their type.

    A measure whose denominator is zero is None, where seqeval warns and gives 0.
    """

    right: int
    predicted: int
    gold: int

    @property
    def precision(self) -> float | None:
        """None if nothing is predicted."""
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """None if there is nothing to find."""
        return self.right / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        """None if nothing is predicted and there is nothing to find; 0 if only one of these holds."""
        return 2 * self.right / (self.predicted + self.gold) if self.predicted + self.gold else None


@dataclasses.dataclass(frozen=True)
class EntityScores:
    """Entity scores of a data set.

    Attributes:
      scheme: that of the strict reading; empty if the reading was lenient.
      by_type: for each type that is predicted or true, sorted; `Found.gold` is its support. Its name is empty if the
        tags have none, where seqeval calls it `_`.
    """

    scheme: str
    by_type: dict[str, Found]

    @property
    def micro(self) -> Found:
        """All types together."""
        counts = self.by_type.values()
        return Found(sum(x.right for x in counts), sum(x.predicted for x in counts), sum(x.gold for x in counts))

    @property
    def macro_precision(self) -> float | None:
        """The mean over types. As in seqeval, a type without precision counts as 0; None if there are no types."""
        return self._mean(lambda one: one.precision)

    @property
    def macro_recall(self) -> float | None:
        """The mean over types. As in seqeval, a type without recall counts as 0; None if there are no types."""
        return self._mean(lambda one: one.recall)

    @property
    def macro_f1(self) -> float | None:
        """The mean over types; None if there are none."""
        return self._mean(lambda one: one.f1)

    def _mean(self, measure: Callable[[Found], float | None]) -> float | None:
        return float(np.mean([measure(one) or 0.0 for one in self.by_type.values()])) if self.by_type else None


def score_entities(gold: Sentences, predicted: Sentences, scheme: str = "") -> EntityScores:
    """Compares the entities of predicted tags with those of gold tags.

    As seqeval's `classification_report`: by default if `scheme` is empty (its reading is that of conlleval), with
    `mode="strict"` and its `IOB2`, `IOBES` or `BILOU` if it is given. There are three differences. Undefined scores are
    None here and 0 there. BILOU is read leniently as BIOES is, while seqeval takes `L` and `U` for tags of another
    kind. In strict IOB1, an entity whose `B` separates nothing does not count, while seqeval drops the `B` and counts
    the rest.

    Raises:
      CorpusError: a tag is not of the scheme, or `bare`.
      ValueError: there are not as many predicted tags as gold ones.
    """
    counts: dict[str, Counter] = {"right": Counter(), "predicted": Counter(), "gold": Counter()}
    for pair in paired(gold, predicted):
        true, said = (set(entities(tags, scheme)) for tags in pair)
        for name, found in (("right", true & said), ("predicted", said), ("gold", true)):
            counts[name].update(one.type for one in found)
    types = sorted(counts["gold"].keys() | counts["predicted"].keys())
    return EntityScores(scheme, {kind: Found(**{name: counts[name][kind] for name in counts}) for kind in types})


def _check_marks(scheme: str) -> None:
    check_scheme(scheme)
    if scheme == BARE:
        raise CorpusError("Bare tags mark no entities: each is a class by itself.")
