import re

import numpy as np
import optax
import pytest

from bert_jax.errors import ConfigError
from bert_jax.optim.optimizer import OptimizerConfig, make_schedule
from bert_jax.optim.schedules import SCHEDULES, warmup_problem


def rates(config: OptimizerConfig, num_steps: int) -> np.ndarray:
    """The rate of each step of a run, and of the one after it."""
    schedule = make_schedule(config, num_steps)
    return np.array([schedule(step) for step in range(num_steps + 1)], np.float64)


def test_the_default_is_linear_and_continuous():
    schedule = make_schedule(OptimizerConfig(learning_rate=1.0, warmup_ratio=0.1), 100)
    np.testing.assert_allclose([schedule(s) for s in (0, 5, 10, 55, 100)], [0, 0.5, 1, 0.5, 0], atol=1e-6)
    before = optax.join_schedules([optax.linear_schedule(0.0, 3e-4, 7), optax.linear_schedule(3e-4, 0.0, 693)], [7])
    np.testing.assert_array_equal(
        rates(OptimizerConfig(learning_rate=3e-4), 700), [np.float64(before(step)) for step in range(701)]
    )


def test_no_warmup_starts_at_the_top():
    assert make_schedule(OptimizerConfig(learning_rate=1.0, warmup_ratio=0.0), 10)(0) == 1
    assert make_schedule(OptimizerConfig(learning_rate=1.0, warmup_steps=0), 10)(0) == 1


def formula(name: str, share: np.ndarray, final: float) -> np.ndarray:
    """The rate as a share of the peak, by the share of the fall that is done."""
    curve = {
        "linear": 1 - share,
        "polynomial": np.sqrt(1 - share),
        "cosine": (1 + np.cos(np.pi * share)) / 2,
        "wsd": 1 - np.sqrt(share),
    }[name]
    return final + (1 - final) * curve


@pytest.mark.parametrize("final", [0.0, 0.02])
@pytest.mark.parametrize("begin", ["warmup", "start"])
@pytest.mark.parametrize("name", ["linear", "polynomial", "cosine"])
def test_falls_follow_their_formulas(name, begin, final):
    config = OptimizerConfig(
        learning_rate=2.0, schedule=name, warmup_ratio=0.2, decay_from=begin, power=0.5, final_rate=final
    )
    step = np.arange(51)
    first = 10 if begin == "warmup" else 0
    falling = formula(name, np.maximum(step - first, 0) / (50 - first), final)
    expected = 2 * np.where(step < 10, step / 10, falling)
    found = rates(config, 50)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[0] == 0
    assert found[9] == pytest.approx(1.8)
    assert found[50] == pytest.approx(2 * final, abs=1e-6)


def test_berts_rate_steps_down_where_the_warmup_ends():
    config = OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000, decay_from="start")
    schedule = make_schedule(config, 1_000_000)
    expected = {0: 0, 1: 1e-8, 9_999: 0.9999e-4, 10_000: 0.99e-4, 500_000: 0.5e-4, 999_999: 1e-10, 1_000_000: 0}
    np.testing.assert_allclose([schedule(s) for s in expected], list(expected.values()), rtol=1e-5, atol=1e-11)


@pytest.mark.parametrize("final", [0.0, 0.001])
@pytest.mark.parametrize(("name", "fall"), [("wsd", "wsd"), ("trapezoid", "linear")])
def test_late_schedules_are_constant_and_then_fall(name, fall, final):
    config = OptimizerConfig(
        learning_rate=8e-4, schedule=name, warmup_steps=10, warmup_ratio=0.0, decay_ratio=0.2, final_rate=final
    )
    found, step = rates(config, 100), np.arange(101)
    expected = np.where(step < 10, step / 10, formula(fall, np.maximum(step - 80, 0) / 20, final))
    np.testing.assert_allclose(found, 8e-4 * expected, atol=1e-9)
    assert len(set(found[10:81])) == 1
    config.decay_ratio = 0.0
    assert len(set(rates(config, 100)[10:100])) == 1


def test_a_number_of_warmup_steps_comes_before_the_ratio():
    config = OptimizerConfig(learning_rate=1.0, warmup_ratio=0.5, warmup_steps=4)
    np.testing.assert_allclose(rates(config, 20)[:6], [0, 0.25, 0.5, 0.75, 1, 15 / 16], atol=1e-6)


def test_a_run_that_ends_within_its_warmup_only_rises():
    for name in SCHEDULES:
        config = OptimizerConfig(learning_rate=1.0, schedule=name, warmup_steps=10)
        np.testing.assert_allclose(rates(config, 5)[:5], [0, 0.1, 0.2, 0.3, 0.4], atol=1e-6)


NVIDIA = {
    "learning_rate": 6e-3,
    "schedule": "polynomial",
    "power": 0.5,
    "decay_from": "start",
    "warmup_ratio": 0.2843,
}


def test_each_phase_has_a_schedule_of_its_own():
    config = OptimizerConfig(**NVIDIA, phases="7038: learning_rate=4e-3 warmup_ratio=0.128")
    schedule = make_schedule(config, 7038 + 1563)
    first = {
        0: 0,
        1000: 6e-3 * 1000 / 2001,
        2000: 6e-3 * 2000 / 2001,
        2001: 6e-3 * np.sqrt(1 - 2001 / 7038),
        7037: 6e-3 * np.sqrt(1 - 7037 / 7038),
    }
    second = {
        7038: 0,
        7038 + 199: 4e-3 * 199 / 200,
        7038 + 200: 4e-3 * np.sqrt(1 - 200 / 1563),
        8600: 4e-3 * np.sqrt(1 - 1562 / 1563),
        8601: 0,
    }
    expected = first | second
    np.testing.assert_allclose([schedule(s) for s in expected], list(expected.values()), rtol=1e-4, atol=1e-9)


def test_phases_keep_what_they_do_not_name():
    config = OptimizerConfig(
        learning_rate=1.0,
        schedule="wsd",
        warmup_steps=5,
        decay_ratio=0.0,
        phases="20: learning_rate=0.5 warmup_steps=0; 30: decay_ratio=1 final_rate=0.1",
    )
    assert config.problems() == []
    step = np.arange(41)
    last = 0.5 * formula("wsd", np.clip(step - 30, 0, 10) / 10, 0.1)
    expected = np.select([step < 5, step < 20, step < 30], [step / 5, 1.0, 0.5], last)
    np.testing.assert_allclose(rates(config, 40), expected, atol=1e-6)


def test_a_run_ends_in_any_phase():
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=0, phases="10: learning_rate=0.5; 20: learning_rate=0.1")
    np.testing.assert_allclose(rates(config, 5), 1 - np.arange(6) / 5, atol=1e-6)
    np.testing.assert_allclose(rates(config, 10), 1 - np.arange(11) / 10, atol=1e-6)
    np.testing.assert_allclose(rates(config, 14)[10:], 0.5 * (1 - np.arange(5) / 4), atol=1e-6)


def test_only_the_schedule_changes_with_a_phase():
    for change in ("b1=0.8", "name=lamb", "clip_norm=1", "weight_decay=0", "epsilon=1", "phases=x"):
        with pytest.raises(ConfigError, match=change):
            make_schedule(OptimizerConfig(phases=f"5: {change}"), 10)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"schedule": "wsd", "decay_from": "start"}, "leave out decay_from"),
        ({"schedule": "trapezoid", "decay_from": "start"}, "=trapezoid decays .* leave out decay_from"),
        ({"schedule": "wsd", "warmup_ratio": 0.5, "decay_ratio": 0.6}, "lower one"),
        ({"phases": "10: learning_rate=0"}, r"learning_rate=0.0 .* \(in the phase from step 10 on\)"),
        ({"phases": "10: warmup_steps=20; 30: warmup_steps=0"}, "does not fit the 20 steps of the phase from step 10"),
        ({"warmup_steps": 10, "phases": "10: warmup_steps=0"}, "does not fit the 10 steps of the phase from step 0"),
        ({"warmup_steps": 2, "phases": "10: warmup_ratio=0.1"}, "warmup_steps=none"),
    ],
)
def test_what_does_not_go_together_is_said(values, said):
    (problem,) = OptimizerConfig(**values).problems()
    assert re.search(said, problem)


def test_a_ratio_that_rounds_to_the_whole_run_is_told():
    config = OptimizerConfig(warmup_ratio=0.9)
    assert "warmup_ratio=0.9 makes all of the run's 4 steps a warm-up" in (warmup_problem(config, 4) or "")
    assert warmup_problem(config, 100) is None
    assert warmup_problem(OptimizerConfig(warmup_ratio=0.01), 1) is None
