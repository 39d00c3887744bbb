"""Layers with learning rates of their own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.model.composite import layer_of
from bert_jax.optim.optimizer import OPTIMIZERS, OptimizerConfig, make_optimizer
from bert_jax.optim.rates import describe_rates, encoder_layers, rate_factors

RATE = 0.01


def tree(seed):
    """Eleven layers in order of their number, which is not that of their names; adapters of one; a head."""
    rng = np.random.default_rng(seed)

    def array():
        return {"kernel": jnp.asarray(rng.normal(size=(3, 3)), jnp.float32)}

    encoder = {f"layer_{i}": array() for i in range(11)} | {"final_norm": {"scale": jnp.ones(3)}}
    body = {"embeddings": array(), "encoder": encoder, "pooler": array()}
    adapters = {"bert": {"encoder": {"layer_9": {"kernel": {"a": jnp.ones((3, 1)), "b": jnp.ones((1, 3))}}}}}
    return {"bert": body, "label": array(), "lora": adapters}


def test_factors_are_those_of_beit():
    """Its layers are counted from the embeddings, 0, over the lowest layer, 1, to the head, L + 1."""
    found = rate_factors(tree(0), layer_of, 0.5, 3.0)
    assert found["embeddings"] == 0.5**12
    assert [found[f"layer_{i}"] for i in range(11)] == [0.5 ** (12 - (i + 1)) for i in range(11)]
    assert (found["final_norm"], found["pooler"], found["label"]) == (1, 1, 3)
    assert encoder_layers(tree(0), layer_of) == [f"layer_{i}" for i in range(11)]


def moved(config, freeze=""):
    """The updates of the second of two steps, by the parameter."""
    params = tree(0)
    optimizer = make_optimizer(config, optax.constant_schedule(RATE), freeze, layer_of)
    state = optimizer.init(params)
    for seed in (1, 2):
        grads = jax.tree.map(lambda leaf, seed=seed: leaf * seed, tree(seed))
        updates, state = optimizer.update(grads, state, params)
    return updates, state


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_one_rate_times_the_factors(name):
    config = OptimizerConfig(name=name)
    plain, _ = moved(config)
    scaled, _ = moved(dataclasses.replace(config, layer_decay=0.5, head_rate=4.0))

    def check(found, expected, factor):
        jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y * np.float32(factor)), found, expected)

    check(scaled["bert"]["embeddings"], plain["bert"]["embeddings"], 0.5**12)
    for i in range(11):
        layer = f"layer_{i}"
        check(scaled["bert"]["encoder"][layer], plain["bert"]["encoder"][layer], 0.5 ** (11 - i))
    check(scaled["bert"]["pooler"], plain["bert"]["pooler"], 1)
    check(scaled["label"], plain["label"], 4)
    adapters = (updates["lora"]["bert"]["encoder"]["layer_9"] for updates in (scaled, plain))
    check(*adapters, 0.25)


def test_frozen_layers_count():
    """Those below a frozen top are as far from the head as ever."""
    config = OptimizerConfig(layer_decay=0.5, clip_norm=0.0)
    free, _ = moved(config)
    frozen, _ = moved(config, "layer_10/|pooler")
    for layer in ("layer_0", "layer_9"):
        found, expected = (updates["bert"]["encoder"][layer]["kernel"] for updates in (frozen, free))
        np.testing.assert_array_equal(found, expected)


def test_one_rate_for_all_takes_the_same_path_as_ever():
    """So that its numbers and its checkpoints stay what they were."""
    optimizer = make_optimizer(OptimizerConfig(), optax.constant_schedule(RATE), "", layer_of)
    plain = make_optimizer(OptimizerConfig(), optax.constant_schedule(RATE))
    assert jax.tree.structure(optimizer.init(tree(0))) == jax.tree.structure(plain.init(tree(0)))


def test_rates_are_told_if_they_differ():
    def told(**changes):
        return describe_rates(tree(0), layer_of, OptimizerConfig(learning_rate=5e-5, **changes))

    assert told() == []
    assert told(layer_decay=0.9) == ["rates        embeddings 1.41e-05 … layer 10 4.5e-05, heads 5e-05"]
    assert told(head_rate=10.0) == ["rates        body 5e-05, heads 0.0005"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layer_decay", 0.0),
        ("layer_decay", 1.1),
        ("layer_decay", float("nan")),
        ("head_rate", 0.0),
        ("head_rate", float("inf")),
        ("lora_rank", -1),
        ("lora_alpha", 0.0),
    ],
)
def test_values_that_cannot_work_are_named(field, value):
    (problem,) = OptimizerConfig(**{field: value}).problems()
    assert problem.startswith(f"optimizer.{field}={value} must ")
