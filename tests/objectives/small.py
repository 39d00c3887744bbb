"""A tiny model and packed rows, for tests of objectives."""

import dataclasses
import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.batch import on_device
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.learner import Learner
from bert_jax.training.step import Randomness
from tests.interop.rows import random_params
from tests.model.unpacking import unpack

CONFIG = ModelConfig(
    vocab_size=30, num_layers=1, hidden_size=16, num_heads=2, intermediate_size=24, max_positions=16, dropout=0.2
)
LENGTHS = ((5, 4, 6), (7, 3), (16,))  # of the examples in each row
S, N = 16, 3


def core(seed=0):
    """Packed rows without the columns of any objective."""
    rng = np.random.default_rng(seed)
    batch = {
        name: np.zeros((len(LENGTHS), S), np.int32)
        for name in ("token_ids", "token_type_ids", "example_ids", "position_ids")
    }
    batch["cls_positions"] = np.zeros((len(LENGTHS), N), np.int32)
    batch["example_keys"] = rng.integers(0, 2**32, (len(LENGTHS), N), dtype=np.uint32)
    for row, lengths in enumerate(LENGTHS):
        begin = 0
        for slot, length in enumerate(lengths):
            inside = slice(begin, begin + length)
            batch["token_ids"][row, inside] = rng.integers(1, CONFIG.vocab_size, length)
            batch["token_type_ids"][row, inside] = np.arange(length) >= length // 2
            batch["example_ids"][row, inside] = slot + 1
            batch["position_ids"][row, inside] = np.arange(length)
            batch["cls_positions"][row, slot] = begin
            begin += length
    return batch


def used_slots():
    """float32 [B, N], 1 where there is an example."""
    return np.array([[slot < len(lengths) for slot in range(N)] for lengths in LENGTHS], np.float32)


def learner_of(*objectives, **changes):
    """The tiny model, with changes to its config, and what it learns."""
    return Learner(dataclasses.replace(CONFIG, **changes), objectives)


def outcome_of(learner, batch, params, dropout=True):
    """What a learner finds."""
    return eval_of(learner, batch, params, dropout)[0]


def eval_of(learner, batch, params, dropout=False):
    """The same, and what is decoded from the predictions."""
    learner.check(batch)
    return jax.jit(learner.eval_fn)(params, None, batch, Randomness(jnp.uint32(3), jnp.int32(5), dropout))


def outcome_and_gradient(learner, batch, params, dropout=True):
    """The same, and the gradient of what is minimised."""

    def total(params):
        outcome = outcome_of(learner, batch, params, dropout)
        return sum(loss.coefficient * loss.sum.mean for loss in outcome.losses.values()), outcome

    (_, outcome), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    return outcome, gradient


def assert_close(left, right, tolerance=2e-5):
    """Each array to within a share of its largest number, or of a hundredth of the largest of all: some are noise."""
    largest = max(float(jnp.abs(y).max()) for y in jax.tree.leaves(right))
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(left), jax.tree.leaves(right), strict=True):
        scale = max(float(jnp.abs(y).max()), 0.01 * largest)
        assert float(jnp.abs(x - y).max()) <= tolerance * scale, jax.tree_util.keystr(path)


def assert_packing_changes_nothing(batch, *objectives):
    """Losses, metrics and gradients, with dropout."""
    learner = learner_of(*objectives)
    alone, params = unpack(batch, S, learner.columns), random_params(learner.model, batch)
    assert len(alone["token_ids"]) == sum(map(len, LENGTHS))
    left, left_gradient = outcome_and_gradient(learner, batch, params)
    right, right_gradient = outcome_and_gradient(learner, alone, params)
    assert_close(left, right)
    assert_close(left_gradient, right_gradient)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(left_gradient)) > 1e-3


def assert_bfloat16_is_near_float32(batch, *objectives):
    """Losses to 2 %; predictions and what is reported are float32."""
    learner, rough_learner = learner_of(*objectives), learner_of(*objectives, dtype="bfloat16")
    params = random_params(learner.model, batch)
    exact = outcome_of(learner, batch, params, dropout=False)
    rough, gradient = outcome_and_gradient(rough_learner, batch, params, dropout=False)
    for name, loss in exact.losses.items():
        np.testing.assert_allclose(rough.losses[name].sum.mean, loss.sum.mean, rtol=0.02, err_msg=name)
    predictions = jax.eval_shape(rough_learner.model.apply, {"params": params}, batch)
    assert {leaf.dtype for leaf in jax.tree.leaves((predictions, rough, gradient))} == {np.dtype(np.float32)}


def joined(batches):
    """The rows of several batches as one."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def assert_scores_are_told(held_out, *objectives):
    """Every score and every baseline that a report would look for has its number; returns both."""
    learner = learner_of(*objectives)
    parts = list(map(on_device, held_out))
    params = random_params(learner.model, parts[0])
    outcomes, decoded = jax.device_get(list(zip(*(eval_of(learner, batch, params) for batch in parts), strict=True)))
    decoded = jax.tree.map(lambda *parts: np.concatenate(parts), *decoded)
    everything = joined(held_out)
    found = learner.score(functools.reduce(operator.add, outcomes), decoded, everything)
    baselines = learner.baselines(everything)
    assert {score.name for score in learner.scores} <= found.keys()
    assert {score.baseline for score in learner.scores if score.baseline} == baselines.keys()
    assert all(np.isfinite(value) for value in (found | baselines).values())
    return found, baselines
