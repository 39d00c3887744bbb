"""`train.freeze`: parameters that stay as they start."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax import losses
from bert_jax.errors import ConfigError
from bert_jax.losses import Loss, Outcome
from bert_jax.optim.optimizer import OPTIMIZERS, OptimizerConfig, make_optimizer
from bert_jax.tasks.pretraining import Pretraining, pretrain
from bert_jax.training.planning import forecast
from bert_jax.training.run import prepare
from bert_jax.training.state import TrainState
from bert_jax.training.step import make_train_step
from bert_jax.training.workdir.checkpoints import read_params
from bert_jax.training.workdir.metrics import read_metrics
from tests.tasks.test_pretraining import results


def loss_fn(params, frozen, batch, randomness):
    """The squared error of a network of two layers."""
    hidden = jnp.tanh(batch["x"] @ params["first"]["kernel"] + params["first"]["bias"])
    errors = jnp.square(hidden @ params["second"]["kernel"] - batch["y"]).mean(-1)
    return Outcome({"error": Loss(losses.weighted_sum(errors, batch["weights"]))}, {})


def drawn(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}


PARAMS = {"first": drawn(0, kernel=(3, 5), bias=(5,)), "second": drawn(1, kernel=(5, 2))}
CONFIG = OptimizerConfig(weight_decay=0.5, clip_norm=0.1)


def batch(step):
    return drawn(2 + step, x=(4, 3), y=(4, 2)) | {"weights": jnp.ones(4)}


def learned(name, freeze, microbatches, steps):
    """The state and the metrics after some steps from `PARAMS`."""
    optimizer = make_optimizer(dataclasses.replace(CONFIG, name=name), optax.constant_schedule(0.1), freeze)
    step = jax.jit(make_train_step(loss_fn, optimizer, lambda _: 0.1, "/".join, microbatches, freeze=freeze))
    state = TrainState(jnp.int32(0), PARAMS, optimizer.init(PARAMS), jnp.uint32(0))
    for i in range(steps):
        state, metrics = step(state, None, batch(i))
    return state, metrics


@pytest.mark.parametrize("microbatches", [1, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_parameters_stay_to_the_bit_and_others_move(name, microbatches):
    """Weight decay does not touch them either."""
    state, metrics = learned(name, "^first/", microbatches, steps=3)
    for kind in ("kernel", "bias"):
        np.testing.assert_array_equal(state.params["first"][kind], PARAMS["first"][kind])
    assert (state.params["second"]["kernel"] != PARAMS["second"]["kernel"]).all()
    assert metrics["grad_norm"] == metrics["grad_norm/second/kernel"] > 0
    # What is frozen has no means: two arrays for the one that is trained, and counters.
    assert sum(leaf.size for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim) == 2 * 5 * 2


def test_others_move_as_if_what_is_frozen_were_no_parameter():
    """It has no share in the norm that is clipped."""
    state, _ = learned("adamw", "^first/", 1, steps=1)
    second = PARAMS["second"]
    grads = jax.grad(lambda second: loss_fn(PARAMS | {"second": second}, None, batch(0), None).means["error"])(second)
    optimizer = make_optimizer(CONFIG, optax.constant_schedule(0.1))
    updates, _ = optimizer.update(grads, optimizer.init(second), second)
    assert optax.tree.norm(grads) > CONFIG.clip_norm
    np.testing.assert_allclose(state.params["second"]["kernel"], second["kernel"] + updates["kernel"], rtol=1e-5)


def parameters(workdir):
    """Those of the newest checkpoint, by name."""
    _, params, _ = read_params(workdir / "checkpoints")
    return {"/".join(part.key for part in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def test_a_run_keeps_what_is_frozen_and_resumes_bit_for_bit(config, tmp_path):
    config.train.freeze = "^bert/embeddings|layer_0/.*bias"
    config.train.num_steps, config.train.checkpoint_every, config.train.grad_norms_every = 4, 2, 1
    config.eval.every, config.optimizer.weight_decay, config.optimizer.warmup_steps = 4, 0.5, 2
    pretrain(config, tmp_path / "straight")
    config.train.stop_after = 1
    pretrain(config, tmp_path / "stopped")
    first = parameters(tmp_path / "stopped")  # as they started: the rate of step 1 is 0
    config.train.stop_after = None
    pretrain(config, tmp_path / "stopped")
    assert results(tmp_path / "stopped") == results(tmp_path / "straight")
    last = parameters(tmp_path / "straight")
    frozen = {name for name in last if re.search(config.train.freeze, name)}
    assert {"bert/embeddings/word", "bert/encoder/layer_0/feed_forward/output/bias"} <= frozen
    assert {name for name in last if np.array_equal(last[name], first[name])} == frozen
    logged = [row for row in read_metrics(tmp_path / "straight") if "train/loss" in row]
    assert all(row["train/grad_norm/embeddings"] == 0 < row["train/grad_norm/layer_1"] for row in logged)


@pytest.mark.parametrize("name", ["stable_adamw", "muon"])
def test_a_run_with_everything_at_once_resumes_bit_for_bit(name, config, tmp_path):
    """Accumulation, frozen kernels, rates by layer and by width, and the guard."""
    config.train.freeze, config.train.grad_accumulation_steps = "layer_0/attention/", 2
    config.train.num_steps, config.train.checkpoint_every, config.train.on_bad_step = 4, 2, "skip"
    config.eval.every = 4
    config.optimizer = OptimizerConfig(name=name, learning_rate=1e-2, clip_norm=0.0, layer_decay=0.9, base_width=16)
    pretrain(config, tmp_path / "straight")
    for steps in (2, None):
        config.train.stop_after = steps
        pretrain(config, tmp_path / "stopped")
        if steps:
            first = parameters(tmp_path / "stopped")
    assert results(tmp_path / "stopped") == results(tmp_path / "straight")
    last = parameters(tmp_path / "straight")
    assert {name for name in last if np.array_equal(last[name], first[name])} == {
        f"bert/encoder/layer_0/attention/{part}/{kind}"
        for part in ("output", "query_key_value")
        for kind in ("bias", "kernel")
    }


def program(config, freeze):
    config.train.freeze = freeze
    return prepare(Pretraining(), config).program(4)


def test_memory_is_forecast_without_what_is_frozen(config):
    """The word table and the rest of the embeddings are most of a small model."""
    whole, part = (program(config, freeze).state_shapes for freeze in ("", "^bert/embeddings/"))
    frozen = 4 * sum(leaf.size for leaf in jax.tree.leaves(whole.params["bert"]["embeddings"]))
    saved = forecast.bytes_per_device(whole.opt_state) - forecast.bytes_per_device(part.opt_state)
    assert saved == 2 * frozen > 0
    assert forecast.bytes_per_device(whole.params) == forecast.bytes_per_device(part.params)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("layer_(0", "is not a valid regular expression"),
        ("^embeddings/", "matches no parameter"),  # names begin with bert/
        (".", "matches every parameter"),
    ],
)
def test_a_pattern_that_can_only_be_a_mistake_is_refused(config, pattern, said):
    with pytest.raises(ConfigError) as refused:
        program(config, pattern)
    assert str(refused.value).startswith(f"train.freeze={pattern!r} {said}")
