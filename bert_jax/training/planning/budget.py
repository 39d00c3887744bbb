"""Measures how many steps fit into a time budget, once, on a throwaway state."""

import functools
import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import jax

from bert_jax.training import processes
from bert_jax.training.planning.length import EVALUATIONS

WARM_STEPS = 3  # not timed
MEASURED_SECONDS = 8.0
# The rest of the budget is a margin in case the machine slows down later.
SAFETY = 0.93


def choose_num_steps(
    step_fn: Callable,
    make_state: Callable[[], Any],
    batch: Callable[[int], Any],
    evaluate: Callable[[Any], Any],
    eval_every: int | None,
    phases: tuple[int, ...],
    budget: float,
) -> int:
    """Returns the number of steps that fit into `budget` seconds from now, by the first process' clock.

    Args:
      step_fn: (state, batch, step=steps taken before) -> (state, metrics).
      make_state: makes a throwaway state.
      batch: returns the batch of a step.
      evaluate: scores a state.
      eval_every: steps between evaluations, which count towards the budget; None: there are `EVALUATIONS` in all.
      phases: the first step of each phase. Phases differ in cost, so each one that the budget reaches is measured.
      budget: seconds.
    """
    began = time.perf_counter()
    state = make_state()
    evaluate(state)
    evaluation_began = time.perf_counter()
    evaluate(state)
    evaluation = time.perf_counter() - evaluation_began
    steps, spent = 0, EVALUATIONS * evaluation if eval_every is None else 0.0
    for start, end in itertools.zip_longest(phases, phases[1:]):
        state, step = _measure(functools.partial(step_fn, step=start), state, batch(start))
        cost = step + (evaluation / eval_every if eval_every is not None else 0.0)
        # All processes must measure the same phases and choose the same number.
        cost, passed = processes.of_first([cost, time.perf_counter() - began])
        left = SAFETY * (budget - passed) - spent
        fitting = max(0, int(left / cost))
        if end is None or fitting < end - start:
            steps = start + fitting
            break
        spent += (end - start) * cost
    return max(1, steps)


def _measure(step_fn: Callable, state: Any, batch: Any) -> tuple[Any, float]:
    """Takes some steps; returns the new state and the seconds per step."""
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
        # One step, then enough to fill the time. All processes must take the same number: the first one decides.
        fitting = math.ceil((MEASURED_SECONDS - seconds) * steps / seconds)
        chunk = processes.of_first(fitting) if steps == 1 else 0
    return state, seconds / steps
