import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax import losses
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.losses import Loss, Outcome
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.learner import Learner
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.tasks.pretraining import make_objectives
from bert_jax.training.state import TrainState
from bert_jax.training.step import Randomness, divide, make_eval_step, make_train_step

MODEL = ModelConfig(vocab_size=300, num_layers=2, hidden_size=32, num_heads=4, max_positions=64)


def make(corpus, examples):
    config = DataConfig(sequence_length=64, examples=examples, short_probability=0.5, max_examples=4, nsp_group_size=4)
    batch = Batches(corpus.train, corpus.sources, corpus.tokenizer, config, 0, 32).batch(0)
    learner = Learner(MODEL, make_objectives(config, corpus=corpus))
    params = nn.meta.unbox(learner.init(jax.random.key(0)))
    # Plain gradient descent: Adam would turn rounding errors of tiny gradients into steps of full size.
    optimizer = optax.sgd(1.0)
    state = TrainState(np.int32(7), params, optimizer.init(params), np.uint32(3))

    def step(microbatches):
        made = make_train_step(
            learner.loss_fn, optimizer, lambda _: 0.1, learner.layer_of, microbatches, config.group_rows
        )
        return jax.jit(made)(state, None, batch)

    return step, state


@pytest.mark.parametrize("examples", ["bert", "candidates"])
@pytest.mark.parametrize("microbatches", [2, 4, 8])
def test_accumulation_is_one_batch(corpus, examples, microbatches):
    """With dropout, with rows of different numbers of predictions, and with candidates across rows."""
    step, before = make(corpus, examples)
    (whole, metrics), (summed, summed_metrics) = step(1), step(microbatches)
    for name in metrics:
        np.testing.assert_allclose(summed_metrics[name], metrics[name], rtol=2e-6, err_msg=name)
    paths = jax.tree_util.tree_leaves_with_path(whole.params)
    for (path, x), y, start in zip(paths, jax.tree.leaves(summed.params), jax.tree.leaves(before.params), strict=True):
        moved = np.abs(np.asarray(x) - start).max()
        # The move is a difference of rounded parameters: an error of theirs counts besides one of its own.
        allowed = 1e-5 * moved + 2e-7 * np.abs(start).max()
        assert np.abs(np.asarray(x) - y).max() <= allowed, jax.tree_util.keystr(path)


def test_parts_hold_each_row_once_and_groups_whole():
    rows = np.arange(24)
    parts = np.asarray(divide({"x": rows}, 3, 4)["x"])
    assert parts.shape == (3, 8)
    assert sorted(parts.ravel()) == rows.tolist()
    for group in parts.reshape(-1, 4):
        assert group.tolist() == list(range(group[0], group[0] + 4))
    # A device that has the first half of the rows has the first half of each part but for one group.
    halves = np.asarray(divide({"x": rows}, 3, 2)["x"])
    assert all((part[:4] < 12).all() and (part[4:] >= 12).all() for part in halves)


def test_norms_of_layers_add_up_to_that_of_all(corpus):
    step, _ = make(corpus, "bert")
    _, metrics = step(1)
    layers = {name: value for name, value in metrics.items() if name.startswith("grad_norm/")}
    assert set(layers) == {f"grad_norm/{name}" for name in ("embeddings", "layer_0", "layer_1", "pooler", "mlm", "nsp")}
    total = np.sqrt(sum(float(value) ** 2 for value in layers.values()))
    np.testing.assert_allclose(total, metrics["grad_norm"], rtol=1e-5)


# Below, a linear model of two targets: what a step does to it follows by hand.

ROWS = 8


def linear_batch():
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(ROWS, 3)).astype(np.float32),
        "a": rng.normal(size=ROWS).astype(np.float32),
        "b": rng.normal(size=ROWS).astype(np.float32),
        "a_weights": (np.arange(ROWS) % 3 > 0).astype(np.float32),  # the microbatches weigh differently
        "b_weights": np.ones(ROWS, np.float32),
    }


def squares(params, batch, name, coefficient=1.0):
    """The mean squared error of one target, as a loss."""
    errors = jnp.square(batch["x"] @ params["w"] - batch[name])
    return Loss(losses.weighted_sum(errors, batch[f"{name}_weights"]), coefficient)


def gradient(w, batch, name):
    """That of the mean squared error, in float64."""
    x, target, weights = (np.asarray(batch[key], np.float64) for key in ("x", name, f"{name}_weights"))
    return 2 * (weights * (x @ w - target)) @ x / weights.sum()


def linear_step(loss_fn, microbatches=1, frozen=None, freeze=""):
    """The state and metrics after a step of plain gradient descent from w = (1, −1, 0.5)."""
    params = {"w": jnp.array([1.0, -1.0, 0.5])}
    optimizer = optax.sgd(1.0)
    step = make_train_step(loss_fn, optimizer, lambda _: 1.0, "/".join, microbatches, freeze=freeze)
    state = TrainState(jnp.int32(0), params, optimizer.init(params), jnp.uint32(0))
    return jax.jit(step)(state, frozen, linear_batch())


@pytest.mark.parametrize("microbatches", [1, 2, 4])
def test_losses_count_by_their_coefficients(microbatches):
    def loss_fn(params, frozen, batch, randomness):
        return Outcome({"a": squares(params, batch, "a"), "b": squares(params, batch, "b", 0.5)}, {})

    state, metrics = linear_step(loss_fn, microbatches)
    w, batch = np.array([1, -1, 0.5]), linear_batch()
    expected = gradient(w, batch, "a") + 0.5 * gradient(w, batch, "b")
    np.testing.assert_allclose(w - state.params["w"], expected, rtol=1e-5)
    # Each loss is logged as it is; their sum is what was minimised.
    assert metrics["loss"] == pytest.approx(float(metrics["a"] + 0.5 * metrics["b"]), rel=1e-6)
    errors = (batch["x"] @ w - batch["b"]) ** 2
    assert metrics["b"] == pytest.approx(errors.mean(), rel=1e-5)


def test_a_learner_weighs_its_objectives(corpus):
    """The gradient of two objectives with the coefficients 1 and 0.5 is that of the first and half of the second."""
    config = DataConfig(sequence_length=64, short_probability=0.5, max_examples=4)
    batch = Batches(corpus.train, corpus.sources, corpus.tokenizer, config, 0, 8).batch(0)
    words, pairs = make_objectives(config)
    without_dropout = dataclasses.replace(MODEL, num_layers=1, dropout=0.0, attention_dropout=0.0)
    params = nn.meta.unbox(Learner(without_dropout, (words, pairs)).init(jax.random.key(0)))

    def moved(first, second):
        objectives = tuple(dataclasses.replace(o, coefficient=c) for o, c in ((words, first), (pairs, second)))
        learner, optimizer = Learner(without_dropout, objectives), optax.sgd(1.0)
        step = make_train_step(learner.loss_fn, optimizer, lambda _: 1.0, learner.layer_of)
        state = TrainState(jnp.int32(0), params, optimizer.init(params), jnp.uint32(0))
        after, metrics = jax.jit(step)(state, None, batch)
        return jax.tree.map(lambda x, y: np.asarray(x) - np.asarray(y), params, after.params), metrics

    (both, metrics), (first, _), (second, _) = moved(1.0, 0.5), moved(1.0, 0.0), moved(0.0, 1.0)
    for found, one, other in zip(*map(jax.tree.leaves, (both, first, second)), strict=True):
        np.testing.assert_allclose(found, one + 0.5 * other, atol=1e-6)
    assert metrics["loss"] == pytest.approx(float(metrics["mlm_loss"] + 0.5 * metrics["nsp_loss"]), rel=1e-6)


@pytest.mark.parametrize("microbatches", [1, 2])
def test_a_loss_reads_frozen_arrays(microbatches):
    """A small teacher: its outputs are the targets, it gets no gradient and comes out as it went in."""
    teacher = {"w": np.array([0.3, 0.2, -0.1], np.float32)}

    def loss_fn(params, frozen, batch, randomness):
        return Outcome({"a": squares(params, batch | {"a": batch["x"] @ frozen["w"]}, "a")}, {})

    state, _ = linear_step(loss_fn, microbatches, teacher)
    w, batch = np.array([1, -1, 0.5]), linear_batch()
    expected = gradient(w, batch | {"a": batch["x"] @ teacher["w"]}, "a")
    np.testing.assert_allclose(w - state.params["w"], expected, rtol=1e-5)
    assert jax.tree.structure(state.params) == jax.tree.structure({"w": 0})  # nothing of it in the state
    scored = make_eval_step(loss_fn, 0)(state.params, teacher, batch)
    student, taught = batch["x"] @ np.asarray(state.params["w"]), batch["x"] @ teacher["w"]
    mean = (batch["a_weights"] * (student - taught) ** 2).sum() / batch["a_weights"].sum()
    assert scored.means["a"] == pytest.approx(float(mean), rel=1e-5)


def test_evaluation_has_draws_but_no_dropout():
    """A loss may draw when it is scored too, such as the noise of a generator; always the same."""

    def loss_fn(params, frozen, batch, randomness):
        assert isinstance(randomness, Randomness)
        seen.append(randomness.dropout)
        drawn = jax.random.uniform(jax.random.fold_in(jax.random.key(randomness.seed), randomness.step))
        one = {"drawn": drawn, "seed": randomness.seed, "step": randomness.step}
        metrics = {name: losses.weighted_sum(jnp.float32(value), jnp.float32(1)) for name, value in one.items()}
        return Outcome({"a": squares(params, batch, "a")}, metrics)

    seen = []
    state, trained = linear_step(loss_fn)
    assert seen
    assert all(seen)
    seen.clear()
    evaluate = jax.jit(make_eval_step(loss_fn, 5))
    first, again = (evaluate(state.params, None, linear_batch()).means for _ in range(2))
    assert seen == [False]
    assert first["seed"] == 5
    assert first["step"] == 0
    assert 0 < first["drawn"] < 1
    assert first["drawn"] == again["drawn"] != trained["drawn"]


def test_a_head_has_keys_to_draw_by_when_nothing_is_dropped(corpus):
    """The model gets them from seed and step; the dropout keys are none."""

    config = DataConfig(sequence_length=64, max_examples=4)
    batch = Batches(corpus.train, corpus.sources, corpus.tokenizer, config, 0, 2).batch(0)
    seen = {}

    class Head(nn.Module):
        inner: nn.Module

        def __call__(self, encoded, batch):
            seen.update(dropped=encoded.dropout_keys, drawn=encoded.draw_keys)
            return self.inner(encoded, batch)

    class Noted(MaskedWords):
        def head(self, config):
            make = super().head(config)
            return lambda name: Head(make(None), name=name)

    learner = Learner(MODEL, (Noted(),))
    params = nn.meta.unbox(learner.init(jax.random.key(0)))
    keys = []
    for seed, step, dropout in ((0, 0, False), (0, 0, True), (0, 1, False), (1, 0, False)):
        learner.loss_fn(params, None, batch, Randomness(jnp.uint32(seed), jnp.int32(step), dropout))
        assert (seen["dropped"] is not None) == dropout
        keys.append(np.asarray(seen["drawn"]))
    np.testing.assert_array_equal(keys[0], keys[1])
    real = batch["example_ids"] > 0
    assert (keys[0] != keys[2])[real].mean() > 0.99
    assert (keys[0] != keys[3])[real].mean() > 0.99
