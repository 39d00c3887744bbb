"""Entities against a search over all spans, and what conversions, repairs and scores must keep."""

import numpy as np
import pytest

from bert_jax.errors import ConfigError, CorpusError
from bert_jax.objectives.entities import Entity, Found, convert, entities, repair, score_entities, write
from bert_jax.objectives.tags import BARE, BILOU, BIOES, IOB1, IOB2, LETTERS, check, detect, word_accuracy

MARKING = (IOB1, IOB2, BIOES, BILOU)
TYPES = ("X", "Y", "foo-bar", "")


def valid(rng, scheme):
    """Tags of a sentence with entities at random, many side by side."""
    length, found, word = rng.integers(1, 12), [], 0
    while word < length:
        size = rng.integers(1, 4)
        if rng.random() < 0.6 and word + size <= length:
            found.append(Entity(str(rng.choice(TYPES)), word, word + int(size) - 1))
        word += int(size)
    return write(found, int(length), scheme)


def noisy(rng, tags, scheme, rate):
    """The same tags, some of them replaced by others of the scheme's letters."""
    others = ["O", *(f"{letter}-{kind}".rstrip("-") for letter in LETTERS[scheme] for kind in TYPES)]
    return [str(rng.choice(others)) if rng.random() < rate else tag for tag in tags]


def spans(tags, scheme=""):
    """From the definition: a span is an entity if its words and its ends are those of one; all spans are tried."""
    letters = [{"L": "E", "U": "S"}.get(tag[0], tag[0]) for tag in tags] + ["O"]
    kinds = [tag[2:] for tag in tags] + [""]

    def joined(i):  # words i and i + 1
        return letters[i] in "BI" and letters[i + 1] in "IE" and kinds[i] == kinds[i + 1]

    found = []
    for first in range(len(tags)):
        for last in range(first, len(tags)):
            inside = all(joined(i) for i in range(first, last))
            whole = not (first and joined(first - 1)) and not joined(last)
            pattern = "".join(letters[first : last + 1])
            same_before = first and letters[first - 1] in "BI" and kinds[first - 1] == kinds[first]
            strict = {
                "": True,
                IOB1: pattern[0] == "I" or same_before,
                IOB2: pattern[0] == "B",
                BIOES: pattern == "S" or (pattern[0] == "B" and pattern[-1] == "E"),
            }["" if not scheme else BIOES if scheme == BILOU else scheme]
            if inside and whole and strict and "O" not in pattern:
                found.append((kinds[first], first, last))
    return found


@pytest.mark.parametrize("scheme", MARKING)
@pytest.mark.parametrize("seed", range(40))
def test_entities_are_the_spans_of_the_definition(scheme, seed):
    rng = np.random.default_rng(seed)
    for rate in (0, 0.3, 1):
        tags = noisy(rng, valid(rng, scheme), scheme, rate)
        assert entities(tags) == spans(tags), tags
        assert entities(tags, scheme) == spans(tags, scheme), tags


@pytest.mark.parametrize("source", MARKING)
@pytest.mark.parametrize("target", MARKING)
def test_conversion_keeps_the_entities_and_the_rules(source, target):
    rng = np.random.default_rng(0)
    tags = [valid(rng, source) for _ in range(60)]
    converted = convert(tags, source, target)
    assert not check(converted, target)
    assert [entities(one, target) for one in converted] == [entities(one, source) for one in tags]
    assert convert(converted, target, source) == tags
    assert detect(converted) == target


@pytest.mark.parametrize("scheme", MARKING)
def test_repair_keeps_what_conlleval_reads(scheme):
    rng = np.random.default_rng(1)
    tags = [noisy(rng, valid(rng, scheme), scheme, 0.3) for _ in range(60)]
    assert check(tags, scheme)
    repaired, changed = repair(tags, scheme)
    assert not check(repaired, scheme)
    assert [entities(one) for one in repaired] == [entities(one) for one in tags]
    assert changed == sum(map(len, tags)) - round(sum(map(len, tags)) * word_accuracy(tags, repaired)) > 0
    assert repair(repaired, scheme) == (repaired, 0)


def test_a_stray_inside_tag_begins_an_entity():
    stray = [["O", "I-PER", "I-PER", "I-LOC"], ["I-LOC"]]
    assert repair(stray, IOB2) == ([["O", "B-PER", "I-PER", "B-LOC"], ["B-LOC"]], 3)
    assert repair([["B-PER", "I-PER", "O", "E-LOC"]], BIOES) == ([["B-PER", "E-PER", "O", "S-LOC"]], 2)


def test_an_iob1_file_keeps_its_neighbours_apart():
    tags = ["I-MISC", "B-MISC", "I-MISC", "O", "I-PER", "I-LOC"]
    assert detect([tags]) == IOB1
    assert entities(tags) == [("MISC", 0, 0), ("MISC", 1, 2), ("PER", 4, 4), ("LOC", 5, 5)]
    assert convert([tags], IOB1, IOB2) == [["B-MISC", "B-MISC", "I-MISC", "O", "B-PER", "B-LOC"]]
    assert convert([tags], IOB1, BIOES) == [["S-MISC", "B-MISC", "E-MISC", "O", "S-PER", "S-LOC"]]


def test_only_a_lenient_reading_counts_an_entity_without_a_beginning():
    gold, predicted = [["B-Phone", "I-Phone"]], [["I-Phone", "I-Phone"]]
    assert score_entities(gold, predicted).micro.f1 == 1
    assert score_entities(gold, predicted, IOB2).micro.f1 == 0
    assert score_entities(gold, predicted, IOB2).scheme == IOB2


def test_gold_without_entities_has_no_recall():
    scores = score_entities([["O", "O", "O"]], [["B-LOC", "O", "O"]])
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1) == (0, None, 0)
    assert scores.macro_f1 == 0


def test_predictions_without_entities_have_no_precision():
    scores = score_entities([["B-LOC"]], [["O"]])
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1) == (None, 0, 0)


@pytest.mark.parametrize("sentences", [[], [[]], [["O", "O"]]])
def test_no_entities_at_all_have_no_score(sentences):
    scores = score_entities(sentences, sentences)
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1) == (None, None, None)
    assert (scores.macro_precision, scores.macro_recall, scores.macro_f1) == (None, None, None)
    assert scores.by_type == {}


def test_a_type_that_is_only_predicted_counts_in_the_mean():
    scores = score_entities([["B-A", "B-B", "O", "B-A"]], [["O", "B-B", "B-C", "B-A"]])
    assert scores.by_type == {"A": Found(1, 1, 2), "B": Found(1, 1, 1), "C": Found(0, 1, 0)}
    assert scores.micro.f1 == pytest.approx(2 / 3)
    assert scores.macro_f1 == pytest.approx(5 / 9)
    assert scores.macro_recall == pytest.approx(0.5)


def test_tags_without_types():
    gold = [["O", "O", "B", "I", "I", "I", "I", "O"]]
    predicted = [["O", "O", "B", "I", "I", "B", "I", "O"]]
    assert entities(gold[0]) == [("", 2, 6)]
    assert entities(predicted[0]) == [("", 2, 4), ("", 5, 6)]
    scores = score_entities(gold, predicted)
    assert scores.micro.f1 == 0
    assert scores.by_type == {"": Found(0, 2, 1)}
    assert convert(predicted, IOB2, BILOU) == [["O", "O", "B", "I", "L", "B", "L", "O"]]


def test_bare_tags_have_no_entities():
    for refused in (
        lambda: entities(["ORGANIZATION", "O"]),
        lambda: score_entities([["ORGANIZATION", "O"]], [["O", "O"]]),
    ):
        with pytest.raises(CorpusError, match="'ORGANIZATION' is neither O nor"):
            refused()
    for refused in (
        lambda: entities(["S", "O"], BARE),
        lambda: convert([["S"]], BARE, IOB2),
        lambda: convert([["S"]], BIOES, BARE),
        lambda: repair([["NOUN"]], BARE),
    ):
        with pytest.raises(CorpusError, match="Bare tags mark no entities"):
            refused()
    assert convert([["NOUN", "O"]], BARE, BARE) == [["NOUN", "O"]]


def test_conversion_refuses_broken_tags():
    with pytest.raises(CorpusError, match="2, word 2 is not iob2: I-PER follows O, the first of 2 such faults"):
        convert([["O"], ["O", "I-PER", "I-LOC"]], IOB2, BIOES)


def test_a_strict_reading_refuses_letters_of_another_scheme():
    with pytest.raises(CorpusError, match="'E-PER' has a letter that iob2 does not have"):
        entities(["B-PER", "E-PER"], IOB2)


def test_unknown_schemes_are_refused():
    with pytest.raises(ConfigError, match="scheme='bio2' is not one of iob1, iob2"):
        convert([["O"]], "bio2", IOB2)


def test_gold_and_predicted_tags_are_as_many():
    with pytest.raises(ValueError, match="sentence 1 has 2 gold tags and 1 predicted"):
        score_entities([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="zip"):
        score_entities([["O"]], [["O"], ["O"]])
