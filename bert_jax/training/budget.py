"""How many steps fit into a time budget: measured once, on a state that is thrown away."""

import time
from collections.abc import Callable
from typing import Any

import jax

WARM_STEPS = 3  # compilation and first touches
MEASURED_SECONDS = 8.0
# The rest of the budget is room for a machine that gets slower later.
SAFETY = 0.93


def choose_num_steps(
    step_fn: Callable, state: Any, batch: Any, evaluate: Callable[[Any], Any], eval_every: int, budget: float
) -> int:
    """Steps, with an evaluation each `eval_every`, that take `budget` seconds from now on."""
    began = time.perf_counter()
    for _ in range(WARM_STEPS):
        state, metrics = step_fn(state, batch)
    evaluate(state)
    jax.block_until_ready(metrics)
    evaluation_began = time.perf_counter()
    evaluate(state)
    evaluation = time.perf_counter() - evaluation_began
    steps, measured_from = 0, time.perf_counter()
    while time.perf_counter() - measured_from < MEASURED_SECONDS:
        state, metrics = step_fn(state, batch)
        jax.block_until_ready(metrics)
        steps += 1
    step = (time.perf_counter() - measured_from) / steps + evaluation / eval_every
    return max(1, int(SAFETY * (budget - (time.perf_counter() - began)) / step))
