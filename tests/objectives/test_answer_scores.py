"""Exact match and F1 against SQuAD's script, written out here, and against CMRC's and MLQA's rules."""

import collections
import random
import re
import string

import numpy as np
import pytest

from bert_jax.objectives.answer_scores import CHARACTERS, RULES, RUN, WORDS, best_match, best_threshold, has_unspaced


def official_normal(s):
    s = "".join(ch for ch in s.lower() if ch not in set(string.punctuation))
    return " ".join(re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", s).split())


def official_f1(gold, said):
    gold, said = (official_normal(text).split() if text else [] for text in (gold, said))
    same = sum((collections.Counter(gold) & collections.Counter(said)).values())
    if len(gold) == 0 or len(said) == 0:
        return int(gold == said)
    if same == 0:
        return 0
    precision, recall = same / len(said), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def official(golds, said):
    golds = [text for text in golds if official_normal(text)] or [""]
    exact = max(int(official_normal(text) == official_normal(said)) for text in golds)
    return exact, max(official_f1(text, said) for text in golds)


PARTS = (
    "the",
    "a",
    "An",
    "theory",
    "a.m.",
    "U.S.",
    "10th",
    "10",
    "—",
    "-",
    "!",
    "'s",
    "Zoë",
    "東京",
    "the—end",
    "I",
    "i̇",
)


def test_words_are_scored_as_by_squads_script():
    rng = random.Random(0)

    def text():
        return rng.choice(["", " ", "  "]).join(rng.choices(PARTS, k=rng.randrange(4)))

    for _ in range(5000):
        golds, said = [text() for _ in range(rng.randrange(4))], text()
        assert best_match(WORDS, golds, said) == pytest.approx(official(golds, said)), (golds, said)


@pytest.mark.parametrize("rules", RULES)
def test_nothing_matches_nothing_alone(rules):
    """Questions without an answer, and answers of which the rules leave nothing."""
    assert best_match(rules, [], "") == (1, 1)
    assert best_match(rules, [], "France") == (0, 0)
    assert best_match(rules, [""], "") == (1, 1)
    assert best_match(rules, ["France"], "") == (0, 0)
    assert best_match(rules, ["!"], "!") == (1, 1)
    assert best_match(rules, ["!", "France"], "") == (0, 0)  # as in the script: the true answer that remains counts
    assert best_match(WORDS, ["The"], "The") == (1, 1)


def test_of_several_true_answers_the_best_counts_for_each_score():
    golds = ["in the 10th and 11th centuries", "10th and 11th centuries", "the 10th century"]
    assert best_match(WORDS, golds, "10th, and 11th Centuries!") == (1, 1)
    assert best_match(WORDS, golds, "10th century A.D.") == (0, pytest.approx(2 * 2 / (3 + 2)))


def test_scripts_without_spaces_are_scored_by_character():
    """With spaces alone, F1 would be exact match, and full-width punctuation would stay."""
    assert best_match(CHARACTERS, ["天氣很好。"], "天氣好") == (0, pytest.approx(0.857143, abs=1e-6))
    assert best_match(WORDS, ["天氣很好。"], "天氣好") == (0, 0)
    assert best_match(RUN, ["天氣很好。"], "天氣好") == (0, pytest.approx(2 * 2 / (3 + 4)))
    assert best_match(CHARACTERS, ["「東京タワー」"], "東京タワー") == (1, 1)
    assert best_match(CHARACTERS, ["光荣和ω-force"], "ω-Force") == (0, pytest.approx(2 * 1 / (4 + 1)))
    assert best_match(CHARACTERS, ["กรุงเทพ"], "กรุง") == (0, pytest.approx(2 * 4 / (7 + 4)))
    assert best_match(CHARACTERS, ["서울 시청"], "서울") == (0, pytest.approx(2 / 3))  # Hangul has spaces
    assert best_match(CHARACTERS, ["1958 年"], "1958年") == (1, 1)
    assert best_match(RUN, ["ab cd ef"], "cd ef ab") == (0, pytest.approx(2 / 3))
    assert [has_unspaced(text) for text in ("Zoë 서울", "a 東", "タ", "")] == [False, True, True, False]


def mean_at(threshold, nulls, scores, has_answer):
    return np.where(nulls > threshold, ~has_answer, scores).mean()


def test_the_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 7, 20) * 20:
        nulls = rng.integers(-3, 4, count).astype(float)  # with equals
        has_answer = rng.random(count) < 0.5
        scores = np.where(has_answer, rng.random(count), 0.0)
        found = mean_at(best_threshold(nulls, scores, has_answer), nulls, scores, has_answer)
        best = max(mean_at(edge, nulls, scores, has_answer) for edge in (*nulls, nulls.min() - 1, nulls.max() + 1))
        assert found == pytest.approx(best)
    assert best_threshold(np.array([]), np.array([]), np.array([], bool)) == 0


def test_the_best_score_is_that_of_squads_script():
    """`find_best_thresh` of evaluate-v2.0.py, on scores of "no answer" without equals."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        nulls, has_answer = rng.normal(size=12), rng.random(12) < 0.5
        scores = np.where(has_answer, rng.random(12), 0.0)
        best = now = (~has_answer).sum()
        for i in np.argsort(nulls):
            now += scores[i] if has_answer[i] else -1
            best = max(best, now)
        found = mean_at(best_threshold(nulls, scores, has_answer), nulls, scores, has_answer)
        assert found == pytest.approx(best / 12)


def test_a_question_without_an_answer_that_gets_an_empty_one_is_right_on_both_sides():
    nulls, has_answer = np.array([0.0, 1.0]), np.array([True, False])
    for scores, best in (([1.0, 1.0], 1.0), ([0.0, 1.0], 0.5), ([0.0, 0.0], 0.5)):
        threshold = best_threshold(nulls, np.array(scores), has_answer)
        assert mean_at(threshold, nulls, np.array(scores), has_answer) == best
