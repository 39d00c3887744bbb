"""How many steps fit into a time budget: measured once, on a state that is thrown away."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import jax

WARM_STEPS = 3  # first touches
MEASURED_SECONDS = 8.0
# The rest of the budget is room for a machine that gets slower later.
SAFETY = 0.93


def choose_num_steps(
    step_fn: Callable,
    make_state: Callable[[], Any],
    batch: Callable[[int], Any],
    evaluate: Callable[[Any], Any],
    eval_every: int,
    stages: tuple[int, ...],
    budget: float,
) -> int:
    """Steps, with an evaluation each `eval_every`, that take `budget` seconds from now on.

    Args:
      step_fn: (state, batch) -> (state, metrics).
      make_state: a state to throw away.
      batch: that of a step.
      evaluate: scores a state.
      stages: first steps of stages whose steps cost differently; each that the budget reaches is measured.
    """
    began = time.perf_counter()
    state = make_state()
    evaluate(state)
    evaluation_began = time.perf_counter()
    evaluate(state)
    evaluation = time.perf_counter() - evaluation_began
    steps, spent = 0, 0.0
    for start, end in itertools.pairwise((*stages, None)):
        state, step = _measure(step_fn, state, batch(start))
        cost = step + evaluation / eval_every
        left = SAFETY * (budget - (time.perf_counter() - began)) - spent
        fitting = max(0, int(left / cost))
        if end is None or fitting < end - start:
            steps = start + fitting
            break
        spent += (end - start) * cost
    return max(1, steps)


def _measure(step_fn: Callable, state: Any, batch: Any) -> tuple[Any, float]:
    """The state after some steps, and the seconds that one took."""
    for _ in range(WARM_STEPS):
        state, metrics = step_fn(state, batch)
    jax.block_until_ready(metrics)
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < MEASURED_SECONDS:
        state, metrics = step_fn(state, batch)
        jax.block_until_ready(metrics)
        steps += 1
    return state, (time.perf_counter() - began) / steps
