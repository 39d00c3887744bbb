import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.model.heads import SpanLogits
from bert_jax.objectives.spans import Spans
from tests.interop.rows import random_params
from tests.objectives import small

LOWEST = jnp.finfo(jnp.float32).min


def rows(seed=0):
    """A span in each example but the second of the first row."""
    rng = np.random.default_rng(seed)
    batch, weights = small.core(seed), small.used_slots()
    weights[0, 1] = 0
    starts, ends = np.zeros((2, *weights.shape), np.int32)
    for row, slot in np.argwhere(weights > 0):
        inside = np.flatnonzero(batch["example_ids"][row] == slot + 1)
        starts[row, slot], ends[row, slot] = np.sort(rng.choice(inside, 2))
    return batch | {"span_starts": starts, "span_ends": ends, "span_weights": weights}


def members(batch):
    return batch["example_ids"][:, None, :] == np.arange(1, small.N + 1)[:, None]


def logits_of(batch, seed=1):
    """Random scores; in the first row, each true start and end has the highest, in the second each start."""
    inside = members(batch)
    found = np.random.default_rng(seed).normal(size=(2, *inside.shape)).astype(np.float32)
    for part, name in zip(found, ("span_starts", "span_ends"), strict=True):
        for row in (0, 1) if name == "span_starts" else (0,):
            part[row, np.arange(small.N), batch[name][row]] = 9
    return SpanLogits(*(jnp.where(inside, part, LOWEST) for part in found))


def test_loss_and_accuracy_are_those_of_a_plain_loop_over_each_example():
    batch = rows()
    prediction = logits_of(batch)
    total = right = count = 0
    for row, slot in np.argwhere(batch["span_weights"] > 0):
        inside = np.flatnonzero(batch["example_ids"][row] == slot + 1)
        both = True
        for part, name in ((prediction.start, "span_starts"), (prediction.end, "span_ends")):
            one = np.asarray(part[row, slot, inside], np.float64)
            label = batch[name][row, slot] - inside[0]
            total += (np.log(np.exp(one).sum()) - one[label]) / 2
            both &= one.argmax() == label
        right += both
        count += 1
    outcome = Spans(coefficient=0.5).outcome(prediction, batch)
    loss, accuracy = outcome.losses["span_loss"], outcome.metrics["span_accuracy"]
    np.testing.assert_allclose(loss.sum.total, total, rtol=1e-5)
    assert (loss.coefficient, loss.sum.weight, accuracy.total, accuracy.weight) == (0.5, count, right, count)
    assert 0 < right < count


def test_unused_slots_count_nothing_and_leave_gradients_finite():
    """Whatever is in their columns: their scores are the lowest number everywhere."""
    batch = rows()
    other = batch | {name: batch[name].copy() for name in ("span_starts", "span_ends")}
    for name in ("span_starts", "span_ends"):
        other[name][batch["span_weights"] == 0] = small.S - 1
    learner = small.learner_of(Spans())
    params = random_params(learner.model, batch)
    left, right = (small.outcome_and_gradient(learner, one, params) for one in (batch, other))
    for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert np.isfinite(x).all()
        np.testing.assert_array_equal(x, y)


def test_the_baseline_is_the_most_frequent_place_within_an_example():
    batch = rows()
    places = [
        (batch["span_starts"][row, slot] - begin, batch["span_ends"][row, slot] - begin)
        for row, slot in np.argwhere(batch["span_weights"] > 0)
        for begin in [batch["cls_positions"][row, slot]]
    ]
    assert Spans().baselines(batch) == {"span_majority": max(map(places.count, places)) / len(places)}
    at_cls = batch | {"span_starts": batch["cls_positions"], "span_ends": batch["cls_positions"]}
    assert Spans().baselines(at_cls) == {"span_majority": 1.0}
    assert Spans().baselines(batch | {"span_weights": np.zeros_like(batch["span_weights"])}) == {}


def test_scores_have_their_numbers():
    small.assert_scores_are_told([rows(0), rows(1)], Spans())


def test_packing_changes_nothing():
    small.assert_packing_changes_nothing(rows(), Spans())


def test_bfloat16_is_near_float32():
    small.assert_bfloat16_is_near_float32(rows(), Spans())
