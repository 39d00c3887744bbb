"""Which schemes tags are told to be of, which faults are found where, and which spellings are refused."""

import numpy as np
import pytest

from bert_jax.errors import CorpusError
from bert_jax.objectives.tags import BARE, BILOU, BIOES, IOB1, IOB2, Violation, check, detect, read, word_accuracy
from tests.objectives.test_entities import MARKING, noisy, valid


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("B-PER I-PER O B-LOC", IOB2),
        ("B-PER B-PER", IOB2),
        ("I-PER B-PER O I-LOC", IOB1),
        ("I-PER I-PER O", IOB1),
        ("B-PER E-PER O S-LOC", BIOES),
        ("S-LOC O", BIOES),
        ("B-PER L-PER O U-LOC", BILOU),
        ("U-LOC O", BILOU),
        ("B I O", IOB2),
        ("B-foo-bar I-foo-bar", IOB2),
        ("O O", IOB2),
        ("", IOB2),
        ("ADP DET PROPN", BARE),
        ("ORGANIZATION O", BARE),
        ("N V S B O", BARE),
        ("-LRB- PRP$ , . NN", BARE),
    ],
)
def test_schemes_are_told_apart(tags, scheme):
    assert detect([tags.split()]) == scheme


@pytest.mark.parametrize("scheme", MARKING)
def test_some_faults_do_not_hide_the_scheme(scheme):
    rng = np.random.default_rng(0)
    tags = [noisy(rng, valid(rng, scheme), scheme, 0.05) for _ in range(100)]
    assert check(tags, scheme)
    assert detect(tags) == scheme


@pytest.mark.parametrize("scheme", MARKING)
def test_valid_tags_have_no_faults(scheme):
    rng = np.random.default_rng(0)
    assert not check([valid(rng, scheme) for _ in range(100)], scheme)


@pytest.mark.parametrize(
    ("scheme", "tags", "faults"),
    [
        (IOB2, "O I-PER I-PER", {1: "I-PER follows O"}),
        (IOB2, "B-PER I-LOC", {1: "I-LOC follows B-PER"}),
        (IOB2, "I-PER", {0: "I-PER begins the sentence"}),
        (IOB2, "B-PER E-PER", {1: "E-PER has a letter that iob2 does not have"}),
        (IOB2, "B-PER I", {1: "I follows B-PER"}),
        (IOB1, "O B-PER I-PER", {1: "B-PER follows O, and separates nothing"}),
        (IOB1, "B-PER", {0: "B-PER begins the sentence, and separates nothing"}),
        (IOB1, "I-LOC B-PER", {1: "B-PER follows I-LOC, and separates nothing"}),
        (IOB1, "I-LOC I-PER B-PER", {}),
        (BIOES, "O E-PER", {1: "E-PER follows O"}),
        (BIOES, "B-PER O", {0: "B-PER comes before O, and the entity has no end"}),
        (BIOES, "B-PER I-PER", {1: "I-PER ends the sentence, and the entity has no end"}),
        (BIOES, "B-PER E-LOC", {0: "B-PER comes before E-LOC, and the entity has no end", 1: "E-LOC follows B-PER"}),
        (BIOES, "B-PER E-PER E-PER", {2: "E-PER follows E-PER"}),
        (BIOES, "U-PER", {0: "U-PER has a letter that bioes does not have"}),
        (BILOU, "L-PER", {0: "L-PER begins the sentence"}),
        (BILOU, "B-PER L-PER U-PER", {}),
        (IOB2, "PER", {0: "'PER' is neither O nor a letter, a hyphen and a type, such as B-PER"}),
    ],
)
def test_faults_are_found_where_they_are(scheme, tags, faults):
    assert check([["O"], tags.split()], scheme) == [Violation(1, word, text) for word, text in faults.items()]


def test_a_stray_word_inside_may_be_two_faults():
    found = check([["I-PER", "O"]], BIOES)
    assert [(one.word, one.problem.split()[1]) for one in found] == [(0, "begins"), (0, "comes")]


def test_bare_tags_are_only_ever_empty():
    assert check([["NOUN", "B-x", ""], [" "]], BARE) == [
        Violation(0, 2, "the tag is empty"),
        Violation(1, 0, "the tag is empty"),
    ]


@pytest.mark.parametrize(
    ("tags", "culprit"),
    [
        ("b-per i-per o", "b-per"),
        ("b i o", "b"),
        ("PER-B PER-I O", "PER-B"),
        ("B_PER I_PER O", "B_PER"),
        ("B:PER 0", "B:PER"),
        ("B-PER I-PER 0", "0"),
        ("B I 0", "0"),
        ("B-PER PER O", "PER"),
        ("B-PER M-PER E-PER O", "M-PER"),
        ("B-PER O-PER", "O-PER"),
        ("B- O B-PER", "B-"),
        ("B-PER o", "o"),
    ],
)
def test_other_spellings_are_refused_by_name(tags, culprit):
    place = f"Sentence 2, word {tags.split().index(culprit) + 1}"
    with pytest.raises(CorpusError, match=f"{place}: the tag '{culprit}' is neither O nor .* choose the scheme bare"):
        detect([["O"], tags.split()])


def test_a_tag_that_is_missing_is_refused():
    with pytest.raises(CorpusError, match="the tag ''"):
        detect([["B-PER", ""]])


def test_other_schemes_are_refused():
    with pytest.raises(CorpusError, match="as in IOE"):
        detect([["I-PER", "E-PER", "O"]])
    with pytest.raises(CorpusError, match=r"both BIOES .* and BILOU"):
        detect([["B-PER", "E-PER", "U-PER"]])


def test_types_may_have_hyphens_or_be_missing():
    assert read("B-foo-bar") == ("B", "foo-bar")
    assert read("B--x") == ("B", "-x")
    assert read("U") == ("S", "")
    assert read("O") == ("O", "")
    assert read("B-") is read("PER") is read("") is read("O-PER") is None


def test_word_accuracy_counts_words_and_not_sentences():
    assert word_accuracy([["NOUN", "VERB"], ["ADJ"]], [["NOUN", "NOUN"], ["ADJ"]]) == pytest.approx(2 / 3)
    assert word_accuracy([], []) is None
    assert word_accuracy([[]], [[]]) is None
