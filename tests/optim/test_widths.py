"""Factors that keep the best rate from width to width."""

import dataclasses

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.data.config import DataConfig
from bert_jax.model.composite import layer_of
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.learner import Learner
from bert_jax.optim.optimizer import OptimizerConfig, make_optimizer
from bert_jax.optim.rates import describe_rates
from bert_jax.optim.widths import rescaled
from bert_jax.tasks.pretraining import make_objectives

MODEL = ModelConfig(vocab_size=50, num_layers=1, hidden_size=32, num_heads=4, max_positions=16)
BASE = 8  # a quarter of that
HIDDEN = ("query_key_value/kernel", "output/kernel", "intermediate/kernel", "pooler/dense/kernel", "transform/kernel")
OUTPUT = ("nsp/dense/kernel", "mlm/norm/scale", "mlm/norm/bias")
CONFIG = OptimizerConfig(clip_norm=0.0, weight_decay=0.0)


def by_name(tree):
    return flax.traverse_util.flatten_dict(nn.meta.unbox(tree), sep="/")


@pytest.fixture(scope="module")
def boxed():
    """The boxed parameters of a model that is pretrained."""
    return jax.jit(Learner(MODEL, make_objectives(DataConfig())).init)(jax.random.key(0))


def factors(names, hidden, output):
    return {name: hidden if name.endswith(HIDDEN) else output if name in OUTPUT else 1.0 for name in names}


def test_initial_values_are_those_of_table_8(boxed):
    found, before = by_name(rescaled(boxed, BASE)), by_name(boxed)
    expected = factors(before, 0.5, 0.25)
    assert sorted(expected.values()) == [0.25] * 3 + [0.5] * 6 + [1.0] * (len(before) - 9)
    for name, value in before.items():
        np.testing.assert_array_equal(found[name], value * np.float32(expected[name]), err_msg=name)


def moved(params, config):
    """The second of two updates, by the parameter."""
    optimizer = make_optimizer(config, optax.constant_schedule(1.0))

    @jax.jit
    def updates(params):
        state = optimizer.init(params)
        for seed in (1.0, 3.0):
            grads = jax.tree.map(lambda x, seed=seed: jnp.cos(seed * jnp.arange(x.size)).reshape(x.shape), params)
            found, state = optimizer.update(grads, state, params)
        return found

    return by_name(updates(params))


@pytest.mark.parametrize("name", ["adamw", "bert_adam", "stable_adamw", "muon"])
def test_rates_are_those_of_table_8(boxed, name):
    params, config = nn.meta.unbox(boxed), dataclasses.replace(CONFIG, name=name)
    found, plain = moved(params, dataclasses.replace(config, base_width=BASE)), moved(params, config)
    for path, factor in factors(plain, 0.25, 0.25).items():
        # Muon's steps are larger by the root of the width, Adam's by the width.
        by_muon = name == "muon" and path.startswith("bert/encoder") and factor != 1
        expected = plain[path] * np.float32(0.5 if by_muon else factor)
        np.testing.assert_allclose(found[path], expected, rtol=1e-6, err_msg=path)


def test_a_weight_loses_the_same_share_at_any_width(boxed):
    params = nn.meta.unbox(boxed)
    config = dataclasses.replace(CONFIG, base_width=BASE)
    found, without = moved(params, dataclasses.replace(config, weight_decay=0.5)), moved(params, config)
    for name, value in by_name(params).items():
        share = 0.5 if value.ndim > 1 and not name.endswith("bias") else 0.0
        np.testing.assert_allclose(found[name] - without[name], -share * value, atol=1e-6, err_msg=name)


def test_the_base_model_is_as_without(boxed):
    params = nn.meta.unbox(boxed)
    at_base = dataclasses.replace(CONFIG, base_width=32)
    for found, expected in (
        (by_name(rescaled(boxed, 32)), by_name(boxed)),
        (moved(params, at_base), moved(params, CONFIG)),
    ):
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_factors_are_told(boxed):
    def told(**changes):
        return describe_rates(nn.meta.unbox(boxed), layer_of, dataclasses.replace(CONFIG, **changes))

    line = "widths       matrices start × 0.5, outputs × 0.25; their rates × "
    assert told() == []
    assert told(base_width=BASE) == [line + "0.25"]
    assert told(base_width=BASE, name="muon") == [line + "0.5 in the encoder, else × 0.25"]
    assert told(base_width=BASE, head_rate=2.0)[1:] == [line + "0.25"]


def outputs_moved(width, base_width, packed):
    """How far the scores of masked words move in four steps of AdamW: the root mean square over a batch."""
    config = dataclasses.replace(MODEL, vocab_size=300, hidden_size=width, num_heads=width // 8, max_positions=128)
    config = dataclasses.replace(config, dropout=0.0, attention_dropout=0.0, initializer_range=0.2)
    learner = Learner(config, make_objectives(DataConfig()))
    optimizer = make_optimizer(dataclasses.replace(CONFIG, base_width=base_width), optax.constant_schedule(0.02))

    def scores(params):
        return learner.model.apply({"params": params}, packed)["mlm"]

    def loss(params):
        losses = optax.softmax_cross_entropy_with_integer_labels(scores(params), packed["masked_targets"])
        return (losses * packed["masked_weights"]).sum() / packed["masked_weights"].sum()

    def step(_, carry):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    @jax.jit
    def distance(key):
        params = nn.meta.unbox(learner.init(key))
        params = rescaled(params, base_width) if base_width else params
        last, _ = jax.lax.fori_loop(0, 4, step, (params, optimizer.init(params)))
        return jnp.sqrt(jnp.square(scores(last) - scores(params)).mean())

    return float(distance(jax.random.key(0)))


def test_outputs_move_as_far_at_any_width(packed):
    """The check of coordinates (Yang et al. 2022, appendix D.1)."""
    wide, base = outputs_moved(256, 16, packed), outputs_moved(16, 16, packed)
    assert 0.5 < wide / base < 2
    assert outputs_moved(256, None, packed) / base > 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_width": 0}, "optimizer.base_width=0 must be at least 1"),
        ({"base_width": 64, "name": "lamb"}, "no effect on the matrices of optimizer.name=lamb"),
        ({"base_width": 64, "lora_rank": 2}, "no factors for the adapters"),
    ],
)
def test_what_does_not_go_together_is_said(changes, said):
    (problem,) = OptimizerConfig(**changes).problems()
    assert said in problem
