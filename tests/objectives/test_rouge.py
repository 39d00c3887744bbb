"""ROUGE by its definition, on random texts and where scripts and lines matter."""

import itertools
import random
import re

import numpy as np
import pytest

from bert_jax.objectives.rouge import Overlap, ascii_words, rouge, rouge_l, rouge_l_sum, rouge_n, words

WORDS = ["a", "b", "cd", "x1", "e", "f"]


def texts(seed, count, most=9):
    rng = random.Random(seed)
    return [[rng.choice(WORDS) for _ in range(rng.randrange(most))] for _ in range(count)]


def subsequences(text):
    return {
        tuple(text[i] for i in chosen)
        for n in range(len(text) + 1)
        for chosen in itertools.combinations(range(len(text)), n)
    }


def test_a_known_pair():
    found = rouge("the dog ran", ["The dog ran home."])
    assert found["rouge1"] == (1.0, 3 / 4)
    assert found["rouge1"].f1 == pytest.approx(6 / 7)
    assert found["rouge2"] == (1.0, 2 / 3)
    assert found["rougeL"] == found["rougeLsum"] == (1.0, 3 / 4)
    assert Overlap(0.0, 0.0).f1 == 0


def test_sequences_count_as_often_as_both_have_them():
    for seed in range(200):
        one, other = texts(seed, 2)
        for n in (1, 2, 3):
            grams = [[tuple(text[i : i + n]) for i in range(len(text) - n + 1)] for text in (one, other)]
            common = sum(min(part.count(gram) for part in grams) for gram in set(grams[0]))
            assert rouge_n(one, other, n) == tuple(common / max(len(part), 1) for part in grams)


def test_the_longest_common_subsequence_is_that_of_a_search_over_all():
    for seed in range(200):
        one, other = texts(seed, 2)
        longest = max(map(len, subsequences(one) & subsequences(other)))
        assert rouge_l(one, other) == (longest / max(len(one), 1), longest / max(len(other), 1))


def test_long_texts_have_no_limit():
    """More words than a machine word has bits."""
    one = [str(i) for i in range(500)]
    assert rouge_l(one, one[::2]) == (0.5, 1.0)
    assert rouge_l(one, one[::-1]) == (1 / 500, 1 / 500)


def test_lines_count_for_lsum_alone():
    found = rouge("c d\na b", ["a b\nc d"])
    assert found["rougeL"].f1 == 0.5
    assert found["rougeLsum"].f1 == 1.0
    assert rouge("c d a b", ["a b c d"])["rougeLsum"].f1 == 0.5
    assert rouge("c d\n\na b\n", ["a b\nc d"])["rougeLsum"].f1 == 1.0


def test_the_union_of_subsequences_counts_no_word_more_often_than_the_summary_has_it():
    """The example of the paper, and one in which a sentence of the summary serves two of the reference."""
    found = rouge("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", ["w1 w2 w3 w4 w5"])
    assert found["rougeLsum"] == (4 / 10, 4 / 5)
    assert rouge_l_sum([["a"]], [["a"], ["a"]]) == (1.0, 0.5)
    assert rouge_l_sum([["a"], ["a"]], [["a"]]) == (0.5, 1.0)


def test_of_several_longest_subsequences_it_takes_the_one_that_rouge_score_takes():
    assert rouge("b c\nb", ["c b"])["rougeLsum"] == (2 / 3, 1.0)


def test_with_one_line_each_both_kinds_are_the_same_unless_words_repeat():
    for seed in range(200):
        one, other = (list(dict.fromkeys(text)) for text in texts(seed, 2))
        assert rouge_l_sum([one], [other]) == rouge_l(one, other)


def test_the_nearest_reference_counts_for_each_kind():
    found = rouge("a b c d", ["a c", "d c b a"])
    assert found["rouge1"] == (1.0, 1.0)
    assert found["rougeL"] == (0.5, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat's 2nd naïve try", ["the", "cat", "s", "2nd", "naïve", "try"]),
        ("पूर्व प्रधानमन्त्री", ["पूर्व", "प्रधानमन्त्री"]),
        ("Привет, МИР!", ["привет", "мир"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("我有3只猫ABC。", ["我", "有", "3", "只", "猫", "abc"]),
        ("ひらガナ ｶﾞ", ["ひ", "ら", "ガ", "ナ", "ｶ", "ﾞ"]),
        ("ดี", ["ดี"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("e\u0301te\u0301 co\u00adop", ["\u00e9t\u00e9", "coop"]),
        ("\u0301a \u4e2d\u0301b", ["a", "\u4e2d\u0301", "b"]),
        ("zero\u200bwidth", ["zero", "width"]),
        ("…—", []),
        ("", []),
    ],
)
def test_words_of_any_script(text, expected):
    assert words(text) == expected


def test_scripts_that_the_usual_scorer_drops_have_scores():
    text = "पूर्व प्रधानमन्त्री"
    assert ascii_words(text) == []
    same = rouge(text, [text])
    assert {kind: overlap.f1 for kind, overlap in same.items()} == dict.fromkeys(same, 1.0)
    assert rouge("Cristbal est", ["Cristóbal está"])["rouge1"].f1 == 0.0
    # It cuts words at their accents.
    assert rouge("Cristbal est", ["Cristóbal está"], ascii_words)["rouge1"].f1 == 0.4


def test_english_has_the_words_of_the_usual_scorer():
    text = "Don't — “stop” at 3.5%,\tthey’d said; e-mail me_too."
    assert words(text) == ascii_words(text) == re.findall(r"\w+", "don t stop at 3 5 they d said e mail me too")


def test_nothing_in_common_is_zero_and_never_undefined():
    for summary, reference in (("", "a"), ("a", ""), ("", ""), ("a", "b"), ("\n\n", "。")):
        assert {overlap.f1 for overlap in rouge(summary, [reference]).values()} == {0.0}


def random_text(rng, pieces):
    lines = [" ".join(rng.choice(pieces) for _ in range(rng.randrange(14))) for _ in range(rng.randrange(1, 5))]
    return "\n".join(lines)


def test_all_values_equal_those_of_rouge_score():
    """Of random texts, with one reference and with several."""
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="pip install rouge-score to compare with it")
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    official, rng = scorer.RougeScorer(kinds), random.Random(0)
    for _ in range(500):
        pieces = [*WORDS, "É", "İ", "é-f", "don't", "’", "9."]
        summary, references = random_text(rng, pieces), [random_text(rng, pieces) for _ in range(rng.randrange(1, 4))]
        expected = official.score_multi(references, summary)
        found = rouge(summary, references, ascii_words)
        for kind in kinds:
            np.testing.assert_allclose(found[kind].f1, expected[kind].fmeasure, rtol=1e-12)
            if len(references) == 1:
                np.testing.assert_allclose(found[kind], expected[kind][:2], rtol=1e-12)
