"""Promises that every model keeps, whatever its config: each two choices occur together in one of these."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.dropout import token_keys
from tests.model.combinations import SMALL, combinations
from tests.model.composites import pretraining_learner
from tests.model.unpacking import unpack

FAST_TO_COMPILE = {"xla_backend_optimization_level": 0}


def name(config):
    changed = [
        field.name for field in dataclasses.fields(config) if getattr(config, field.name) != getattr(SMALL, field.name)
    ]
    return " ".join(f"{one}={getattr(config, one)}" for one in changed)


def init(learner):
    # Larger weights than at the start of training, so that a wrong mask shows.
    params = nn.meta.unbox(jax.jit(learner.init, compiler_options=FAST_TO_COMPILE)(jax.random.key(0)))
    return jax.tree.map(lambda x: np.asarray(x) * (5 if x.ndim > 1 else 1), params)


def assert_close(left, right, tolerance):
    left, right = jax.device_get((left, right))
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(left), jax.tree.leaves(right), strict=True):
        assert np.abs(x - y).max() <= tolerance * max(np.abs(y).max(), 1e-3), jax.tree_util.keystr(path)


@pytest.mark.parametrize("config", combinations(), ids=name)
def test_packed_equals_unpacked_and_neighbours_change_nothing(packed, config):
    """Losses and gradients, with dropout; the losses of an example have no gradient at all by the tokens of others."""
    learner, alone = pretraining_learner(config), unpack(packed, 128)
    params = init(learner)
    # As many rows, so that one compiled function serves both.
    empty = {
        key: np.zeros((len(alone[key]) - len(value), *value.shape[1:]), value.dtype) for key, value in packed.items()
    }
    together = {key: np.concatenate([packed[key], empty[key]]) for key in alone}

    def total(params, moves, batch):
        keys = token_keys(jnp.uint32(3), jnp.int32(5), batch)
        given = {"params": params, "moves": {"bert": {"embeddings": {"words": moves}}}}
        predictions = learner.model.apply(given, batch, keys, keys)
        outcomes = [one.outcome(predictions[one.name], batch) for one in learner.objectives]
        losses = [loss.sum for outcome in outcomes for loss in outcome.losses.values()]
        return sum(loss.mean for loss in losses), losses

    both = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True), compiler_options=FAST_TO_COMPILE)
    moves = np.zeros((*together["token_ids"].shape, config.hidden_size), np.float32)
    (_, left), (left_gradient, _) = both(params, moves, together)
    (_, right), (right_gradient, _) = both(params, moves, alone)
    assert_close(left, right, 2e-5)
    assert_close(left_gradient, right_gradient, 5e-5)

    of_second = np.take_along_axis(together["example_ids"], together["masked_positions"], axis=1) == 2
    second = together | {"masked_weights": together["masked_weights"] * of_second}
    second["nsp_weights"] = together["nsp_weights"] * (np.arange(together["nsp_weights"].shape[1]) == 1)
    _, (_, moved) = both(params, moves, second)
    mine = (together["example_ids"] == 2)[..., None]
    assert np.abs(np.where(mine, 0, moved)).max() == 0
    assert np.abs(moved).max() > 0
