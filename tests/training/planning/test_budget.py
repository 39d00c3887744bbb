"""Steps that take a known time, by a clock of the test's own: a busy machine changes nothing."""

import pytest

from bert_jax.training.planning import budget


class Clock:
    """What `budget` knows of the module `time`."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(budget, "MEASURED_SECONDS", 0.2)
    monkeypatch.setattr(budget, "time", clock)
    return clock


def choose(clock, seconds_of, phases, seconds, evaluation=0.0, eval_every=1000):
    """`seconds_of` a batch, which is the number of its step."""

    def step(state, batch, step):
        clock.sleep(seconds_of(batch))
        return state, 0.0

    return budget.choose_num_steps(
        step, lambda: 0, lambda step: step, lambda _: clock.sleep(evaluation), eval_every, phases, seconds
    )


def test_steps_fill_the_budget(clock):
    steps = choose(clock, lambda _: 0.02, (0,), 10.0)
    assert steps == pytest.approx(0.93 * (10 - 0.3) / 0.02, rel=0.01)


def test_evaluations_count(clock):
    steps = choose(clock, lambda _: 0.02, (0,), 10.0, evaluation=0.2, eval_every=10)
    assert steps == pytest.approx(0.93 * (10 - 0.7) / 0.04, rel=0.01)


def test_each_phase_has_its_own_cost(clock):
    """100 steps of 0.01 s take one second, the rest goes to steps of 0.05 s."""
    steps = choose(clock, lambda step: 0.01 if step < 100 else 0.05, (0, 100), 10.0)
    assert steps == pytest.approx(100 + (0.93 * (10 - 0.7) - 1) / 0.05, rel=0.01)


def test_a_phase_that_the_budget_does_not_reach_is_not_measured(clock):
    def seconds(step):
        assert step < 10_000
        return 0.02

    assert choose(clock, seconds, (0, 10_000), 5.0) < 10_000


def test_there_is_one_step_at_least(clock):
    assert choose(clock, lambda _: 0.02, (0,), 0.01) == 1


def test_evaluations_count_without_an_interval(clock):
    steps = choose(clock, lambda _: 0.02, (0,), 10.0, evaluation=0.2, eval_every=None)
    assert steps == pytest.approx((0.93 * (10 - 0.7) - 10 * 0.2) / 0.02, rel=0.01)
