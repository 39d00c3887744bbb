"""Questions of different sizes, whose candidates lie in any rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.objectives.choices import Choices
from bert_jax.training.step import divide
from tests.interop.rows import random_params
from tests.objectives import small

# In reading order of the used slots: the question of each example, and its place there. Example 3 is no candidate.
QUESTIONS, PLACES = [7, 900, 7, 900, 7, 900], [2, 0, 0, 9, 1, 1]
RIGHT = {7: 1, 900: 0}


def rows(seed=0):
    """Two questions, of three candidates and of two; garbage where there is no candidate."""
    batch, weights = small.core(seed), small.used_slots()
    questions, places, labels = np.full((3, *weights.shape), 7, np.int32)
    for (row, slot), question, place in zip(np.argwhere(weights > 0), QUESTIONS, PLACES, strict=True):
        questions[row, slot], places[row, slot], labels[row, slot] = question, place, RIGHT[question]
    weights[places == 9] = 0
    weights[questions == 900] *= 0.5
    names = ("questions", "places", "labels", "weights")
    values = (questions, places, labels, weights)
    return batch | {f"choice_{name}": value for name, value in zip(names, values, strict=True)}


def by_hand(batch, scores):
    """(weight, cross-entropy, whether it is right, number of candidates, right place) of each question, in float64."""
    questions = {}
    for row, slot in np.argwhere(batch["choice_weights"] > 0):
        one = questions.setdefault(int(batch["choice_questions"][row, slot]), {})
        one[int(batch["choice_places"][row, slot])] = (
            float(scores[row, slot]),
            int(batch["choice_labels"][row, slot]),
            float(batch["choice_weights"][row, slot]),
        )
    found = []
    for one in questions.values():
        values = np.array([one[place][0] for place in sorted(one)])
        _, label, weight = one[0]
        loss = np.log(np.exp(values - values.max()).sum()) + values.max() - values[label]
        found.append((weight, loss, values.argmax() == label, len(one), label))
    return found


def test_loss_and_accuracy_are_those_of_a_plain_loop_over_questions():
    batch = rows()
    for seed in range(8):
        scores = 90 * np.random.default_rng(seed).normal(size=batch["choice_weights"].shape).astype(np.float32)
        outcome = Choices(coefficient=0.5).outcome(jnp.asarray(scores[..., None]), batch)
        loss, accuracy = outcome.losses["choice_loss"], outcome.metrics["choice_accuracy"]
        expected = by_hand(batch, scores)
        np.testing.assert_allclose(loss.sum.total, sum(w * value for w, value, *_ in expected), rtol=1e-5)
        assert (loss.coefficient, loss.sum.weight, accuracy.weight) == (0.5, 1.5, 1.5)
        assert accuracy.total == sum(w * right for w, _, right, *_ in expected)


def test_equal_scores_share_the_hit():
    """A model that says the same of all does not gain from the order of candidates."""
    batch = rows()
    outcome = Choices().outcome(jnp.zeros((*batch["choice_weights"].shape, 1)), batch)
    assert outcome.metrics["choice_accuracy"].total == pytest.approx(1 / 3 + 0.5 / 2)
    assert outcome.losses["choice_loss"].sum.total == pytest.approx(np.log(3) + 0.5 * np.log(2))


def test_what_is_no_candidate_changes_nothing_and_leaves_gradients_finite():
    batch = rows()
    other = dict(batch)
    for name in ("questions", "places", "labels"):
        other[f"choice_{name}"] = np.where(batch["choice_weights"] > 0, batch[f"choice_{name}"], 0)
    learner = small.learner_of(Choices())
    params = random_params(learner.model, batch)
    left, right = (small.outcome_and_gradient(learner, one, params) for one in (batch, other))
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert np.isfinite(x).all()
        np.testing.assert_array_equal(x, y)
    nothing = batch | {"choice_weights": np.zeros_like(batch["choice_weights"])}
    outcome, gradient = small.outcome_and_gradient(learner, nothing, params)
    assert outcome.losses["choice_loss"].sum.weight == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_microbatches_of_whole_groups_add_up():
    """Groups of three rows; the numbers of questions need not be small."""
    groups = [rows(seed) for seed in range(4)]
    for i, batch in enumerate(groups):
        batch["choice_questions"] = batch["choice_questions"] + 1000 * i
    batch = small.joined(groups)
    scores = np.random.default_rng(0).normal(size=(*batch["choice_weights"].shape, 1)).astype(np.float32)
    whole = Choices().outcome(jnp.asarray(scores), batch)
    parts = divide(jax.tree.map(jnp.asarray, batch | {"scores": scores}), 2, 3)
    halves = [
        Choices().outcome(part.pop("scores"), part) for i in (0, 1) for part in [{k: v[i] for k, v in parts.items()}]
    ]
    small.assert_close(halves[0] + halves[1], whole, 1e-6)


def test_baselines_are_a_guess_or_the_most_frequent_place():
    """Of six questions, by number of candidates and right place."""
    numbers, labels = [2, 2, 4, 4, 4, 4], [0, 1, 0, 0, 3, 0]
    columns = {"questions": [], "places": [], "labels": []}
    for question, (number, label) in enumerate(zip(numbers, labels, strict=True)):
        columns["questions"] += [question] * number
        columns["places"] += range(number)
        columns["labels"] += [label] * number
    batch = {f"choice_{name}": np.array([value], np.int32) for name, value in columns.items()}
    batch["choice_weights"] = np.ones(batch["choice_labels"].shape, np.float32)
    uniform = np.mean(np.log(numbers))
    assert Choices().baselines(batch) == {"choice_guess": 4 / 6, "choice_guess_loss": pytest.approx(uniform)}
    batch["choice_weights"][np.isin(batch["choice_questions"], [2, 3, 5])] = 0
    expected = {
        "choice_guess": pytest.approx((1 / 2 + 1 / 2 + 1 / 4) / 3),
        "choice_guess_loss": pytest.approx(0.924, abs=1e-3),
    }
    assert Choices().baselines(batch) == expected
    assert Choices().baselines(batch | {"choice_weights": np.zeros_like(batch["choice_weights"])}) == {}


def test_scores_have_their_numbers():
    held_out = [rows(seed) for seed in range(2)]
    held_out[1]["choice_questions"] = held_out[1]["choice_questions"] + 1000
    small.assert_scores_are_told(held_out, Choices())


def test_packing_changes_nothing():
    small.assert_packing_changes_nothing(rows(), Choices())


def test_bfloat16_is_near_float32():
    small.assert_bfloat16_is_near_float32(rows(), Choices())
