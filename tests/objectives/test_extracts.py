import itertools
import random

import numpy as np
import pytest

from bert_jax.objectives.extracts import Document
from bert_jax.objectives.rouge import ascii_words, rouge

RAIN = Document(
    ("It rained all night.", "The match was cancelled.", "", "The match was cancelled again.", "Fans went home."),
    ("The match was called off.", "Fans went home: the match was cancelled."),
)


def test_the_highest_sentences_in_the_order_of_the_document():
    assert RAIN.top([0.1, 0.9, 2.0, 0.3, 0.5], 2) == (1, 4)
    assert RAIN.top([0, 0, 0, 0, 0], 2) == RAIN.lead(2) == (0, 1)
    assert RAIN.lead(9) == RAIN.top([5, 4, 3, 2, 1], 9) == (0, 1, 3, 4)  # an empty sentence says nothing
    assert Document(("…",)).top([1.0], 1) == ()


def test_a_sentence_with_three_words_of_a_chosen_one_is_passed_over():
    scores = [0.1, 0.9, 0.0, 0.8, 0.2]
    assert RAIN.top(scores, 2) == (1, 3)
    assert RAIN.top(scores, 2, block_trigrams=True) == (1, 4)
    assert RAIN.top(scores, 9, block_trigrams=True) == (0, 1, 4)
    thrice = Document(("a b c", "d e f", "a b c"))
    assert thrice.top([3, 2, 1], 3, block_trigrams=True) == (0, 1)
    short = Document(("a b", "a b", "b a b c"))
    assert short.top([3, 2, 1], 3, block_trigrams=True) == (0, 1, 2)


def closeness(document, chosen):
    """The mean of ROUGE-1 and ROUGE-2 of the sentences, by the scorer of texts."""
    text = " ".join(document.sentences[i] for i in chosen)
    return max(np.mean([rouge(text, [one])[kind].f1 for kind in ("rouge1", "rouge2")]) for one in document.references)


def random_document(seed):
    rng = random.Random(seed)
    texts = [" ".join(rng.choice("abcdefg") for _ in range(rng.randrange(1, 7))) for _ in range(7)]
    return Document(tuple(texts[:5]), tuple(texts[5 : 6 + seed % 2]))


def test_the_oracle_adds_the_best_sentence_as_long_as_that_helps():
    exact = 0
    for seed in range(60):
        document = random_document(seed)
        chosen = document.best(3)
        assert chosen == tuple(sorted(chosen))
        reached = closeness(document, chosen) if chosen else 0.0
        one = max(closeness(document, [i]) for i in range(5))
        assert reached >= one
        assert document.best(1) == () if one == 0 else closeness(document, document.best(1)) == pytest.approx(one)
        if len(chosen) < 3:
            assert all(closeness(document, sorted({*chosen, i})) <= reached + 1e-12 for i in range(5))
        every = [subset for n in (1, 2, 3) for subset in itertools.combinations(range(5), n)]
        exact += (
            closeness(document, chosen) == pytest.approx(max(closeness(document, s) for s in every)) if chosen else 0
        )
    assert exact > 40  # greedy is not exact, but near


def test_the_oracle_of_a_document_that_shares_no_word_is_empty():
    assert Document(("a b", "c"), ("d",)).best(3) == ()
    assert RAIN.best(3) == (1, 4)


def test_the_nearest_reference_counts():
    document = Document(("The match was cancelled.",), RAIN.references)
    assert document.rouge([0])["rouge1"] == pytest.approx(
        rouge("The match was cancelled.", RAIN.references)["rouge1"].f1
    )
    assert document.rouge([]) == dict.fromkeys(document.rouge([0]), 0.0)


def test_scores_of_other_scripts_stand_beside_those_of_the_usual_scorer():
    document = Document(("猫は眠る。", "a naïve cat"), ("猫が眠る。\na naïve dog",))
    found, text = document.rouge([0, 1]), "猫は眠る。\na naïve cat"
    for kind, overlap in rouge(text, document.references).items():
        assert found[kind] == overlap.f1
    for kind, overlap in rouge(text, document.references, ascii_words).items():
        assert found[f"{kind}_ascii"] == overlap.f1
    assert found["rouge1"] == pytest.approx(5 / 7)
    assert found["rouge1_ascii"] == 3 / 4  # a na ve cat
