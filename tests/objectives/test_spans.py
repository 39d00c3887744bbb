import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.heads import SpanLogits
from bert_jax.objectives.answer_windows import Asked, Decoded, Window
from bert_jax.objectives.spans import Spans, best_spans
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
        length = (batch["example_ids"][row] == slot + 1).sum()
        starts[row, slot], ends[row, slot] = np.sort(rng.choice(length, 2))
    firsts = np.full_like(starts, 2)
    return batch | {"span_starts": starts, "span_ends": ends, "span_weights": weights, "span_firsts": firsts}


def members(batch):
    return batch["example_ids"][:, None, :] == np.arange(1, small.N + 1)[:, None]


def logits_of(batch, seed=1):
    """Random scores; in the first row, each true start and end has the highest, in the second each start."""
    inside = members(batch)
    found = np.random.default_rng(seed).normal(size=(2, *inside.shape)).astype(np.float32)
    for part, name in zip(found, ("span_starts", "span_ends"), strict=True):
        for row in (0, 1) if name == "span_starts" else (0,):
            part[row, np.arange(small.N), batch["cls_positions"][row] + batch[name][row]] = 9
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
            label = batch[name][row, slot]
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
        (batch["span_starts"][row, slot], batch["span_ends"][row, slot])
        for row, slot in np.argwhere(batch["span_weights"] > 0)
    ]
    assert Spans().baselines(batch) == {"span_majority": max(map(places.count, places)) / len(places)}
    at_cls = batch | {name: np.zeros_like(batch[name]) for name in ("span_starts", "span_ends")}
    assert Spans().baselines(at_cls) == {"span_majority": 1.0}
    assert Spans().baselines(batch | {"span_weights": np.zeros_like(batch["span_weights"])}) == {}


WORDS = ("Alpha", "beta", "gamma", "delta", *(f"word{i}" for i in range(12)))
CONTEXT = " ".join(WORDS)
ENDS = np.cumsum([len(word) + 1 for word in WORDS]) - 1
OFFSETS = np.stack([ENDS - [len(word) for word in WORDS], ENDS], axis=1)


def with_windows(batch, golds, first_number=0):
    """Each example asks about a part of one passage; its first word is the token at position 2."""
    column = np.zeros(batch["span_weights"].shape, object)
    for number, ((row, slot), gold) in enumerate(zip(np.argwhere(small.used_slots()), golds, strict=True)):
        size = (batch["example_ids"][row] == slot + 1).sum() - 3
        column[row, slot] = Window(Asked(first_number + number, CONTEXT, gold), 2, OFFSETS[:size])
    return batch | {"span_windows": column}


GOLDS = [("Alpha",), (), ("beta gamma", "gamma"), ("Alpha beta",), (), ("word7",)]


@pytest.mark.parametrize("units", ["words", "characters"])
def test_scores_have_their_numbers(units):
    held_out = [with_windows(rows(0), GOLDS), with_windows(rows(1), GOLDS, 6)]
    found, baselines = small.assert_scores_are_told(held_out, Spans(has_unanswerable=True, units=units))
    assert baselines["span_constant_exact"] >= 4 / 12
    assert ("span_f1_run" in found) == (units == "characters")
    small.assert_scores_are_told(held_out, Spans(units=units))


def plainly(start, end, first, last, longest):
    """Every allowed span of an example and its score, the best first."""
    spans = [(s, e) for s in range(first, last + 1) for e in range(s, min(last, s + longest - 1) + 1)]
    return sorted(((float(start[s] + end[e]), s, e) for s, e in spans), reverse=True)


@pytest.mark.parametrize("longest", [1, 2, 4, 30])
@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_best_spans_are_those_of_a_plain_search(count, longest):
    """In packed rows: inside the passage of the own example, in order, none too long."""
    batch = rows()
    batch["span_firsts"] = np.array([[2, 1, 3], [4, 2, 0], [7, 0, 0]], np.int32)
    logits = logits_of(batch)
    found = Decoded(*map(np.asarray, best_spans(logits, batch, count, longest)))
    for row, slot in np.argwhere(small.used_slots()):
        inside = np.flatnonzero(batch["example_ids"][row] == slot + 1)
        start, end = (np.asarray(part)[row, slot, inside] for part in logits)
        expected = plainly(start, end, batch["span_firsts"][row, slot], len(inside) - 2, longest)[:count]
        said = list(zip(found.scores[row, slot], found.starts[row, slot], found.ends[row, slot], strict=True))
        assert [one for one in said if one[0] > -np.inf] == [(pytest.approx(a), b, c) for a, b, c in expected]
        assert found.nulls[row, slot] == pytest.approx(start[0] + end[0])


def example(tokens, first):
    """A batch of one example."""
    zeros = np.zeros((1, len(tokens)), np.int32)
    core = {"example_ids": zeros + 1, "position_ids": np.arange(len(tokens), dtype=np.int32)[None]}
    return core | {"cls_positions": zeros[:, :1], "span_firsts": zeros[:, :1] + first}


def test_no_answer_is_outside_of_the_passage():
    """The best start and end lie on [CLS], the question and [SEP]."""
    tokens = ["[CLS]", "q", "[SEP]", "c0", "c1", "c2", "[SEP]"]
    start, end = np.array([9, 8, 0, 0, 1, 2, 0]), np.array([0, 9, 8, 0, 0, 1, 7])
    logits = SpanLogits(*(jnp.array(part, jnp.float32)[None, None] for part in (start, end)))
    found = best_spans(logits, example(tokens, 3), 3, 2)
    assert [tokens[int(part[0, 0, 0])] for part in (found.starts, found.ends)] == ["c2", "c2"]
    assert found.scores[0, 0, 0] == 3
    assert found.nulls[0, 0] == 9
    nothing = best_spans(logits, example(tokens, 6), 3, 2)  # a passage without tokens
    assert (np.asarray(nothing.scores) == -np.inf).all()


def decoded(*windows):
    """What the windows of questions say: for each, its spans with their scores, and its null score."""
    names = ("starts", "ends", "scores")
    values = {name: np.array([[span[i] for span in spans] for spans, _ in windows]) for i, name in enumerate(names)}
    return {name: value[:, None] for name, value in values.items()} | {"nulls": np.array([[n] for _, n in windows])}


def held_out_of(*windows):
    column = np.zeros((len(windows), 1), object)
    column[:, 0] = windows
    return {"span_windows": column, "span_weights": np.ones((len(windows), 1))}


def test_answers_are_joined_over_windows_and_withheld_above_the_threshold():
    first, second = Asked(0, CONTEXT, ("beta",)), Asked(1, CONTEXT)
    held_out = held_out_of(
        Window(second, 2, OFFSETS[:3]), Window(first, 3, OFFSETS[:3]), Window(first, 3, OFFSETS[1:4])
    )
    # The first question's best span is in its second window; its null score is that of the first, which is lower.
    said = decoded(([(2, 2, 1.0)], 3.0), ([(3, 3, 4.0)], 1.0), ([(3, 3, 5.0)], 9.0))
    expected = {"span_exact": 1.0, "span_f1": 1.0, "span_unanswerable": 1.0, "span_f1_answerable": 1.0}
    found = Spans(has_unanswerable=True).judge(said, held_out)
    assert found == expected | {"span_exact_answerable": 1.0, "span_null_threshold": pytest.approx((2.0 - 4.0) / 2)}
    # A given threshold is not chosen anew: that of the validation set scores the test set.
    found = Spans(has_unanswerable=True, null_threshold=2.5).judge(said, held_out)
    assert (found["span_exact"], found["span_unanswerable"], found["span_null_threshold"]) == (0.5, 0.0, 2.5)
    assert Spans().judge(said, held_out) == {"span_exact": 0.5, "span_f1": 0.5}
    assert Spans().calibrated({}) == Spans()
    assert Spans(has_unanswerable=True).calibrated({"span_null_threshold": 2.5}).null_threshold == 2.5


def test_a_span_that_has_no_text_is_no_answer():
    """SentencePiece makes a token of a space."""
    offsets = np.array([[0, 1], [2, 2], [2, 4]])
    window = Window(Asked(0, "a bc", ("bc",)), 2, offsets)
    said = decoded(([(3, 3, 9.0), (3, 4, 5.0), (2, 2, 1.0)], 0.0))
    assert Spans().judge(said, held_out_of(window)) == {"span_exact": 1.0, "span_f1": 1.0}


def test_the_baseline_of_answers_is_the_most_frequent_place_or_none():
    windows = [
        Window(Asked(i, CONTEXT, gold), 2, OFFSETS) for i, gold in enumerate([("Alpha",), ("Alpha",), ("word7",)])
    ]
    held_out = held_out_of(*windows) | {
        "span_starts": np.array([[2], [2], [0]]),
        "span_ends": np.array([[2], [2], [0]]),
        "span_firsts": np.full((3, 1), 2),
    }
    found = Spans().baselines(held_out)
    assert found == {
        name: pytest.approx(2 / 3) for name in ("span_constant_exact", "span_constant_f1", "span_majority")
    }


def test_packing_changes_nothing():
    small.assert_packing_changes_nothing(rows(), Spans())


def test_bfloat16_is_near_float32():
    small.assert_bfloat16_is_near_float32(rows(), Spans())
