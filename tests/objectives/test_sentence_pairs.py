import numpy as np
import pytest

from bert_jax.objectives.sentence_pairs import SentencePairs
from tests.objectives import small


def rows(seed=0):
    """Labels everywhere, garbage where no example is; the third example of the first row does not count."""
    rng = np.random.default_rng(seed)
    weights = small.used_slots()
    weights[0, 2] = 0
    labels = rng.integers(0, 2, weights.shape).astype(np.int32)
    labels[weights == 0] = 1
    return small.core(seed) | {"nsp_labels": labels, "nsp_weights": weights}


def test_loss_and_accuracy_are_those_of_a_plain_loop():
    batch = rows()
    logits = np.random.default_rng(1).normal(size=(*batch["nsp_labels"].shape, 2)).astype(np.float32)
    total = right = count = 0
    for row, slot in np.argwhere(batch["nsp_weights"] > 0):
        one, label = np.asarray(logits[row, slot], np.float64), batch["nsp_labels"][row, slot]
        total += np.log(np.exp(one).sum()) - one[label]
        right += one.argmax() == label
        count += 1
    outcome = SentencePairs(coefficient=0.5).outcome(logits, batch)
    loss, accuracy = outcome.losses["nsp_loss"], outcome.metrics["nsp_accuracy"]
    np.testing.assert_allclose(loss.sum.total, total, rtol=1e-5)
    assert (loss.coefficient, loss.sum.weight, accuracy.total, accuracy.weight) == (0.5, count, right, count)
    assert 0 < right < count


def test_the_majority_is_that_of_the_labels_that_count():
    held_out = [rows(0), rows(1)]
    counted = [
        batch["nsp_labels"][row, slot] for batch in held_out for row, slot in np.argwhere(batch["nsp_weights"] > 0)
    ]
    most = max(counted.count(0), counted.count(1)) / len(counted)
    assert SentencePairs().baselines(small.joined(held_out))["nsp_majority"] == pytest.approx(most)
    for batch in held_out:
        batch["nsp_weights"][:] = 0
    assert SentencePairs().baselines(small.joined(held_out)) == {}


def test_scores_have_their_numbers_and_say_what_was_asked():
    small.assert_scores_are_told([rows(0), rows(1)], SentencePairs())
    assert SentencePairs(question="sentence order").scores[0].title == "sentence order, accuracy"


def test_packing_changes_nothing():
    small.assert_packing_changes_nothing(rows(), SentencePairs())
