"""Steps that sleep, so that the right number is known."""

import time

import pytest

from bert_jax.training import budget


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(budget, "MEASURED_SECONDS", 0.2)


def choose(seconds_of, stages, seconds, evaluation=0.0, eval_every=1000):
    """`seconds_of` a batch, which is the number of its step."""

    def step(state, batch):
        time.sleep(seconds_of(batch))
        return state, 0.0

    return budget.choose_num_steps(
        step, lambda: 0, lambda step: step, lambda _: time.sleep(evaluation), eval_every, stages, seconds
    )


def test_steps_fill_the_budget():
    steps = choose(lambda _: 0.02, (0,), 10.0)
    assert steps == pytest.approx(0.93 * (10 - 0.3) / 0.02, rel=0.1)


def test_evaluations_count():
    steps = choose(lambda _: 0.02, (0,), 10.0, evaluation=0.2, eval_every=10)
    assert steps == pytest.approx(0.93 * (10 - 0.7) / 0.04, rel=0.1)


def test_each_phase_has_its_own_cost():
    """100 steps of 0.01 s take one second, the rest goes to steps of 0.05 s."""
    steps = choose(lambda step: 0.01 if step < 100 else 0.05, (0, 100), 10.0)
    assert steps == pytest.approx(100 + (0.93 * (10 - 0.7) - 1) / 0.05, rel=0.1)


def test_a_phase_that_the_budget_does_not_reach_is_not_measured():
    def seconds(step):
        assert step < 10_000
        return 0.02

    assert choose(seconds, (0, 10_000), 5.0) < 10_000


def test_there_is_one_step_at_least():
    assert choose(lambda _: 0.02, (0,), 0.01) == 1
