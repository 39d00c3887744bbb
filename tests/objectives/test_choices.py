"""Questions of different sizes; the candidates of a question lie in one row, in any order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.objectives.choices import Choices
from bert_jax.training.step import divide
from tests.interop.rows import random_params
from tests.objectives import small

# By row and used slot: the question of each example, and its place there. A question's number says nothing in another
# row. The last example is no candidate.
QUESTIONS, PLACES = [[7, 7, 7], [7, 7], [7]], [[2, 0, 1], [1, 0], [9]]
RIGHT = [1, 0, 0]


def rows(seed=0):
    """Two questions, of three candidates and of two; garbage where there is no candidate."""
    batch, weights = small.core(seed), small.used_slots()
    questions, places, labels = np.full((3, *weights.shape), 7, np.int32)
    for row, numbers in enumerate(PLACES):
        questions[row, : len(numbers)], places[row, : len(numbers)], labels[row] = QUESTIONS[row], numbers, RIGHT[row]
    weights[places == 9] = 0
    weights[1] *= 0.5
    names = ("questions", "places", "labels", "weights")
    values = (questions, places, labels, weights)
    return batch | {f"choice_{name}": value for name, value in zip(names, values, strict=True)}


def by_hand(batch, scores):
    """(weight, cross-entropy, whether it is right, number of candidates, right place) of each question, in float64."""
    questions = {}
    for row, slot in np.argwhere(batch["choice_weights"] > 0):
        one = questions.setdefault((row, batch["choice_questions"][row, slot]), {})
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


def test_questions_in_a_row_do_not_compete():
    """Two questions in a row, their candidates mixed, cost what they cost in rows of their own."""
    apart = {
        "choice_questions": np.array([[4] * 4, [9] * 4], np.int32),
        "choice_places": np.array([[0, 1, 2, 0], [0, 1, 0, 0]], np.int32),
        "choice_labels": np.array([[2] * 4, [1] * 4], np.int32),
        "choice_weights": np.array([[1, 1, 1, 0], [0.5, 0.5, 0, 0]], np.float32),
    }
    order = [(0, 1), (1, 0), (0, 2), (0, 0), (1, 1)]
    together = {name: np.array([[value[place] for place in order]]) for name, value in apart.items()}
    scores = np.random.default_rng(0).normal(size=(2, 4, 1)).astype(np.float32)
    left = Choices().outcome(jnp.asarray(scores), apart)
    right = Choices().outcome(jnp.array([[scores[place] for place in order]]), together)
    small.assert_close(left, right, 1e-6)
    assert Choices().baselines(apart) == Choices().baselines(together)


def test_microbatches_add_up():
    batch = small.joined([rows(seed) for seed in range(4)])
    scores = np.random.default_rng(0).normal(size=(*batch["choice_weights"].shape, 1)).astype(np.float32)
    whole = Choices().outcome(jnp.asarray(scores), batch)
    parts = divide(jax.tree.map(jnp.asarray, batch | {"scores": scores}), 3, 1)
    each = [{name: value[i] for name, value in parts.items()} for i in range(3)]
    found = [Choices().outcome(part.pop("scores"), part) for part in each]
    small.assert_close(found[0] + found[1] + found[2], whole, 1e-6)


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
    small.assert_scores_are_told([rows(seed) for seed in range(2)], Choices())


def test_bfloat16_is_near_float32():
    small.assert_bfloat16_is_near_float32(rows(), Choices())
