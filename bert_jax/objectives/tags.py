"""Tags of words: the schemes in which they mark entities, how to tell one from another, and what breaks their rules.

A tag is `O` for a word outside of entities, or a letter, a hyphen and the entity's type: `B-PER`. The type is all that
follows the first hyphen, further hyphens included (`B-foo-bar`). If there are no types, the letter stands alone (`B`).

| scheme | letters | |
|---|---|---|
| `iob1` | I, B | `B` only where an entity follows another of its type at once (Ramshaw & Marcus 1995) |
| `iob2` | B, I | the first word has `B`; also called BIO (Tjong Kim Sang & Veenstra 1999) |
| `bioes` | B, I, E, S | also `E` for the last word, `S` for a single one; also called IOBES |
| `bilou` | B, I, L, U | the same with `L` and `U` (Ratinov & Roth 2009) |
| `bare` | none | each tag is a class by itself, such as a part of speech; it marks no entities |

Other spellings are refused by name: lower-case letters (`b-PER`), the letter at the end (`PER-B`), other separators
(`B_PER`), other names for `O` (`0`), the letter `M` for inside, and the schemes IOE1 and IOE2.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bert_jax.errors import ConfigError, CorpusError, choice_problem, quoted

IOB1, IOB2, BIOES, BILOU, BARE = "iob1", "iob2", "bioes", "bilou", "bare"
LETTERS = {IOB1: "BI", IOB2: "BI", BIOES: "BIES", BILOU: "BILU", BARE: ""}
OUTSIDE = "O"

Sentences = Sequence[Sequence[str]]

TAG = re.compile(r"([BIESLU])(?:-(.+))?", re.DOTALL)
UNREADABLE = "is neither O nor a letter, a hyphen and a type, such as B-PER"
# What else such tags look like elsewhere.
OTHER_OUTSIDE = {"", "-", "_", "0", "o", "out", "outside", "other", "none", "null"}
OTHER_PREFIX = re.compile(r"[bi]|[BIESLUMbieslum][-_:./|].+")
OTHER_SUFFIX = re.compile(r".+[-_:./|][BIESLUMbieslum]")


class Tag(NamedTuple):
    """A tag as read: its letter as in BIOES, or `O`, and its type, which may be empty."""

    letter: str
    type: str


@functools.lru_cache(maxsize=4096)
def read(tag: str) -> Tag | None:
    """Reads a tag of any scheme but `bare`; None if it is none."""
    if tag == OUTSIDE:
        return Tag(OUTSIDE, "")
    if not (match := TAG.fullmatch(tag)):
        return None
    letter, kind = match.groups(default="")
    return Tag({"L": "E", "U": "S"}.get(letter, letter), kind)


def read_all(tags: Sequence[str]) -> list[Tag]:
    """Reads the tags of a sentence.

    Raises:
      CorpusError: a tag marks neither an entity nor a word outside of entities.
    """
    found = []
    for tag in tags:
        if (one := read(tag)) is None:
            raise CorpusError(f"The tag {quoted(tag)} {UNREADABLE}.")
        found.append(one)
    return found


def continues(before: Tag, tag: Tag) -> bool:
    """Whether a word belongs to the entity of the word before it, read as conlleval reads it."""
    return tag.letter in "IE" and before.letter in "BI" and tag.type == before.type


@dataclasses.dataclass(frozen=True)
class Violation:
    """A tag that breaks the rules of a scheme.

    Attributes:
      sentence, word: where, from 0.
      problem: what, as the end of a sentence: `I-PER follows O`.
    """

    sentence: int
    word: int
    problem: str


def check(sentences: Sentences, scheme: str) -> list[Violation]:
    """Returns what breaks the rules of a scheme, in order; of `bare` tags, the empty ones."""
    check_scheme(scheme)
    return [
        Violation(i, j, problem)
        for i, tags in enumerate(sentences)
        for j in range(len(tags))
        for problem in problems(tags, j, scheme)
    ]


def problems(tags: Sequence[str], word: int, scheme: str) -> Iterator[str]:
    """Yields what is wrong with the tag of one word of a sentence."""
    written = tags[word]
    if scheme == BARE:
        if not written.strip():
            yield "the tag is empty"
        return
    if (tag := read(written)) is None:
        yield f"{quoted(written)} {UNREADABLE}"
        return
    if tag.letter == OUTSIDE:
        return
    if written[0] not in LETTERS[scheme]:
        yield f"{written} has a letter that {scheme} does not have"
        return
    before = read(tags[word - 1]) if word else None
    after = read(tags[word + 1]) if word + 1 < len(tags) else None
    place = f"follows {tags[word - 1]}" if word else "begins the sentence"
    if scheme == IOB1:
        if tag.letter == "B" and not (before and before.letter in "BI" and before.type == tag.type):
            yield f"{written} {place}, and separates nothing"
        return
    if tag.letter in "IE" and not (before and continues(before, tag)):
        yield f"{written} {place}"
    if scheme != IOB2 and tag.letter in "BI" and not (after and continues(tag, after)):
        place = f"comes before {tags[word + 1]}" if word + 1 < len(tags) else "ends the sentence"
        yield f"{written} {place}, and the entity has no end"


def detect(sentences: Sentences) -> str:
    """Tells the scheme of a data set from all of its tags.

    The letters tell `bioes` and `bilou`. Of `iob1` and `iob2`, it is the one whose rules are broken less often, `iob2`
    if there are no entities; tags with `I` alone are `iob1`. Tags without letters are `bare`.

    Raises:
      CorpusError: some tags have letters and others have not, or they are spelled in a way that is not supported.
    """
    if found := unreadable(sentences):
        raise CorpusError(
            f"Sentence {found.sentence + 1}, word {found.word + 1}: {found.problem}: spell all tags so, or choose the"
            " scheme bare if each tag is a class by itself."
        )
    marked = {tag for tags in sentences for tag in tags} - {OUTSIDE}
    if not all(map(read, marked)):
        return BARE
    letters = {tag[0] for tag in marked}
    if letters & set("ES") and letters & set("LU"):
        raise CorpusError("The tags have letters of both BIOES (E, S) and BILOU (L, U): use those of one.")
    if letters & set("EL") and "B" not in letters:
        raise CorpusError("The tags have entities that end but none that begins, as in IOE: convert them to IOB2.")
    if letters & set("ES"):
        return BIOES
    if letters & set("LU"):
        return BILOU
    return min((IOB2, IOB1), key=lambda scheme: len(check(sentences, scheme)))


def unreadable(sentences: Sentences) -> Violation | None:
    """Returns the first tag that cannot be read although the tags of the data set were meant to mark entities."""
    marked = {tag for tags in sentences for tag in tags} - {OUTSIDE}
    readable = {tag for tag in marked if read(tag)}
    strange = sorted(marked - readable)
    rest = [tag for tag in strange if tag.lower() not in OTHER_OUTSIDE]
    if not strange or not _means_entities(readable, rest):
        return None
    culprit = (rest or strange)[0]
    sentence, word = next((i, list(tags).index(culprit)) for i, tags in enumerate(sentences) if culprit in tags)
    return Violation(sentence, word, f"the tag {quoted(culprit)} {UNREADABLE}")


def _means_entities(readable: set[str], rest: list[str]) -> bool:
    """Whether tags, of which `rest` cannot be read, were meant to mark entities."""
    if readable:
        # Single letters may be classes among others: N, V, B.
        return any("-" in tag for tag in readable) or not rest
    return bool(rest) and any(all(form.fullmatch(tag) for tag in rest) for form in (OTHER_PREFIX, OTHER_SUFFIX))


def check_scheme(scheme: str) -> None:
    """Raises a ConfigError if there is no such scheme."""
    if wrong := choice_problem("scheme", scheme, LETTERS):
        raise ConfigError(*wrong)


def word_accuracy(gold: Sentences, predicted: Sentences) -> float | None:
    """Computes the share of words whose tag is right, in any scheme.

    As `seqeval.metrics.accuracy_score`. None if there are no words.
    """
    pairs = [pair for words in paired(gold, predicted) for pair in zip(*words, strict=True)]
    return sum(one == other for one, other in pairs) / len(pairs) if pairs else None


def paired(gold: Sentences, predicted: Sentences) -> list[tuple[Sequence[str], Sequence[str]]]:
    """Returns the gold and the predicted tags by sentence.

    Raises:
      ValueError: there are not as many of both.
    """
    pairs = list(zip(gold, predicted, strict=True))
    for i, (one, other) in enumerate(pairs):
        if len(one) != len(other):
            raise ValueError(f"sentence {i} has {len(one)} gold tags and {len(other)} predicted ones")
    return pairs
