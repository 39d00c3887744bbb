"""Scores of tags over packed rows and windows, against whole sentences scored by the definitions."""

import numpy as np
import pytest

from bert_jax.objectives.entities import score_entities
from bert_jax.objectives.tags import BARE, IOB2
from bert_jax.objectives.word_tags import WordTags
from tests.objectives import small

NAMES = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def rows(seed=0, sentences=3):
    """Random tags; some tokens decide for a word, in any order; garbage at the others."""
    rng = np.random.default_rng(seed)
    batch = small.core(seed)
    used = batch["example_ids"] > 0
    weights = (used & (rng.random(used.shape) < 0.8)).astype(np.float32)
    place = np.argwhere(weights > 0)[rng.permutation(int(weights.sum()))[: 4 * sentences]]
    numbers = np.zeros(used.shape, np.int32)
    numbers[tuple(place.T)] = 1 + np.arange(len(place)) + np.arange(len(place)) // 4  # sentences of four words
    labels = rng.integers(0, len(NAMES), used.shape).astype(np.int32)
    return batch | {"labels": labels, "label_weights": weights, "word_numbers": numbers}


def held_out(gold, said, names):
    """A row with these sentences one after the other, backwards, and what is decoded."""
    numbers, labels, predicted = [], [], []
    for i, (true, found) in enumerate(zip(gold, said, strict=True)):
        numbers += [1 + len(numbers) + i + j for j in range(len(true))]
        labels += [names.index(tag) for tag in true]
        predicted += [names.index(tag) for tag in found]
    columns = {"word_numbers": numbers, "labels": labels}
    columns["label_weights"] = [1.0] * len(numbers)
    batch = {name: np.array([values[::-1] + [0] * 3]) for name, values in columns.items()}
    return batch, {"said": np.array([predicted[::-1] + [1] * 3])}


def judge(gold, said, **settings):
    names = tuple(sorted({tag for sentence in (*gold, *said) for tag in sentence}))
    batch, decoded = held_out(gold, said, names)
    return WordTags(**{"names": names, "scheme": IOB2} | settings).judge(decoded, batch)


def test_sentences_are_scored_whole_wherever_their_words_are():
    rng = np.random.default_rng(0)
    for strict in (False, True):
        for _ in range(50):
            gold, said = ([list(rng.choice(NAMES, n)) for n in (5, 1, 9)] for _ in range(2))
            expected = score_entities(gold, said, IOB2 if strict else "").micro
            found = judge(gold, said, strict=strict)
            shown = {"f1": expected.f1, "precision": expected.precision, "recall": expected.recall}
            assert found == {f"label_{name}": value for name, value in shown.items() if value is not None}


def test_entities_do_not_go_on_in_the_next_sentence():
    gold = [["O", "B-PER"], ["I-PER", "O"]]
    assert judge(gold, gold)["label_f1"] == 1
    assert judge(gold, [["O", "B-PER"], ["O", "O"]])["label_f1"] == pytest.approx(2 / 3)  # one of two is found


def test_lenient_and_strict_are_told_apart():
    gold, said = [["B-Phone", "I-Phone"]], [["I-Phone", "I-Phone"]]
    assert judge(gold, said)["label_f1"] == 1
    assert judge(gold, said, strict=True)["label_f1"] == 0
    titles = [WordTags(names=NAMES, scheme=IOB2, strict=strict).scores[0].title for strict in (False, True)]
    assert titles == ["entities, lenient F1", "entities, strict (iob2) F1"]


def test_undefined_scores_are_left_out():
    assert judge([["O", "O", "O"]], [["B-LOC", "O", "O"]]) == {"label_precision": 0.0, "label_f1": 0.0}
    assert judge([["B-LOC", "O"]], [["O", "O"]]) == {"label_recall": 0.0, "label_f1": 0.0}
    assert judge([["O", "O"]], [["O", "O"]]) == {}


def test_a_type_that_is_only_predicted_counts():
    gold, said = [["B-A", "B-B", "O", "B-A"]], [["O", "B-B", "B-C", "B-A"]]
    assert judge(gold, said)["label_f1"] == pytest.approx(0.666667, abs=1e-6)


def test_letters_without_types_mark_entities():
    gold, said = [list("OOBIIIIO")], [list("OOBIIBIO")]
    assert judge(gold, said) == {"label_precision": 0.0, "label_recall": 0.0, "label_f1": 0.0}


def test_bare_tags_are_classes():
    gold, said = [["DET", "NOUN"], ["NOUN", "VERB"]], [["DET", "NOUN"], ["VERB", "VERB"]]
    assert judge(gold, said, scheme=BARE) == {"label_f1": pytest.approx((1 + 2 / 3 + 2 / 3) / 3)}


def test_the_baseline_is_the_most_frequent_tag():
    gold = [["O", "O", "B-PER"], ["O"]]
    batch, _ = held_out(gold, gold, ["B-PER", "O"])
    objective = WordTags(names=("B-PER", "O"), scheme=IOB2)
    assert objective.baselines(batch) == {"label_majority": 0.75, "label_majority_f1": 0.0}
    bare = WordTags(names=("B-PER", "O"), scheme=BARE)
    assert bare.baselines(batch) == {"label_majority": 0.75, "label_majority_f1": pytest.approx(2 * 3 / 7 / 2)}


@pytest.mark.parametrize("scheme", [IOB2, BARE])
def test_every_score_is_told(scheme):
    objective = WordTags(names=NAMES, scheme=scheme)
    found, _ = small.assert_scores_are_told([rows(seed) for seed in range(2)], objective)
    assert {"label_f1", "label_accuracy", "label_loss"} <= found.keys()


def test_packing_changes_nothing_and_words_count_in_the_accuracy_where_they_decide():
    batch = rows()
    objective = WordTags(names=NAMES, scheme=IOB2)
    small.assert_packing_changes_nothing(batch, objective)
    learner = small.learner_of(objective)
    params = small.random_params(learner.model, batch)
    outcome, decoded = small.eval_of(learner, batch, params)
    decides = batch["word_numbers"] > 0
    right = (np.asarray(decoded["label"]["said"]) == batch["labels"])[decides]
    assert outcome.metrics["label_accuracy"].mean == pytest.approx(right.mean(), rel=1e-6)
