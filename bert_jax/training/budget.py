"""How many steps fit into a time budget: measured once, on a state that is thrown away."""

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import jax

from bert_jax.training import processes

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
    """Steps, with an evaluation each `eval_every`, that take `budget` seconds from now on, by the first process' clock.

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
        # All processes must measure as much, and choose the same.
        cost, passed = processes.of_first([cost, time.perf_counter() - began])
        left = SAFETY * (budget - passed) - spent
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
    steps, seconds, chunk = 0, 0.0, 1
    while chunk > 0:
        began = time.perf_counter()
        for _ in range(chunk):
            state, metrics = step_fn(state, batch)
            jax.block_until_ready(metrics)
        seconds, steps = seconds + time.perf_counter() - began, steps + chunk
        # One step, then as many as fill the time, by the first process' clock: all must take as many.
        fitting = math.ceil((MEASURED_SECONDS - seconds) * steps / seconds)
        chunk = processes.of_first(fitting) if steps == 1 else 0
    return state, seconds / steps
