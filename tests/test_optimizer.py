import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.optimizer import OptimizerConfig, decays, make_optimizer, make_schedule


def test_schedule_rises_and_falls_linearly():
    schedule = make_schedule(OptimizerConfig(learning_rate=1.0, warmup_ratio=0.1), 100)
    np.testing.assert_allclose([schedule(s) for s in (0, 5, 10, 55, 100)], [0, 0.5, 1, 0.5, 0], atol=1e-6)


def test_no_warmup_starts_at_the_top():
    assert make_schedule(OptimizerConfig(learning_rate=1.0, warmup_ratio=0.0), 10)(0) == 1


def test_biases_and_norms_do_not_decay():
    params = {"a": {"kernel": 1, "bias": 1}, "norm": {"scale": 1, "bias": 1}, "word": 1}
    assert decays(params) == {
        "a": {"kernel": True, "bias": False},
        "norm": {"scale": False, "bias": False},
        "word": True,
    }


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_adamw_follows_its_definition(clip):
    config = OptimizerConfig(learning_rate=0.1, warmup_ratio=0.0, weight_decay=0.3, clip_norm=clip)
    optimizer = make_optimizer(config, make_schedule(config, 10))
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32), "bias": jnp.ones(4)}
    expected = {name: np.asarray(value, np.float64) for name, value in params.items()}
    state = optimizer.init(params)
    m, v = ({name: 0.0 for name in params} for _ in range(2))
    for t in range(1, 6):
        grads = {name: rng.normal(size=value.shape) for name, value in params.items()}
        norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
        updates, state = optimizer.update({k: jnp.asarray(g, jnp.float32) for k, g in grads.items()}, state, params)
        params = {name: params[name] + updates[name] for name in params}
        rate = 0.1 * (1 - (t - 1) / 10)
        for name in expected:
            g = grads[name] * (min(1, clip / norm) if clip else 1)
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g**2
            step = (m[name] / (1 - 0.9**t)) / (np.sqrt(v[name] / (1 - 0.999**t)) + 1e-6)
            expected[name] = expected[name] - rate * (step + (0.3 * expected[name] if name == "kernel" else 0))
    for name in expected:
        np.testing.assert_allclose(params[name], expected[name], rtol=2e-5, atol=1e-6)


def test_problems_are_named():
    bad = OptimizerConfig(learning_rate=0.0, warmup_ratio=1.0, b1=1.0, weight_decay=-1.0)
    assert len(bad.problems()) == 4
    assert OptimizerConfig().problems() == []
