"""Passes over steps that would do harm: a gradient that is not finite, or a spike.

The decision is part of the step, and what it depends on part of the state: an interrupted run decides alike.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

RECENT = 100  # the weight of the newest gradient in the mean norm is 1 / 100
SETTLED = 20  # steps before which no gradient is a spike: at first, the norm moves by its own


class GuardState(NamedTuple):
    """Attributes:
    inner: the state of the optimiser.
    recent_norm: float32 [], the mean norm of the gradient of the steps that were taken, recent ones above all.
    taken: int32 [], steps that were taken.
    skipped: int32 [], steps that were passed over.
    in_row: int32 [], those since the last step that was taken.
    """

    inner: Any
    recent_norm: jax.Array
    taken: jax.Array
    skipped: jax.Array
    in_row: jax.Array


def guarded(optimizer: optax.GradientTransformation, spike_factor: float | None) -> optax.GradientTransformation:
    """Wraps an optimiser: bad steps change neither the parameters nor its state.

    As `optax.apply_if_finite`, but it never gives in: who reads `in_row` decides when that is too often.

    Args:
      optimizer: computes the updates of all other steps.
      spike_factor: a gradient with a norm above this multiple of `recent_norm` is bad, too, after the first `SETTLED`
        steps; None: a step is bad only if its loss, its gradient or its update is not finite.

    Returns:
      A transformation whose `update` takes the loss as `value`.
    """

    def init(params: optax.Params) -> GuardState:
        count = jnp.zeros((), jnp.int32)
        return GuardState(optimizer.init(params), jnp.zeros((), jnp.float32), count, count, count)

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra: Any
    ) -> tuple[optax.Updates, GuardState]:
        norm = optax.tree.norm(updates)
        good = jnp.isfinite(norm) & jnp.isfinite(extra["value"])
        if spike_factor is not None:
            good &= (state.taken < SETTLED) | (norm <= spike_factor * state.recent_norm)
        changes, inner = optimizer.update(updates, state.inner, params)
        good &= jnp.isfinite(optax.tree.norm(changes))
        taken = state.taken + good
        mean = state.recent_norm + (norm - state.recent_norm) / jnp.clip(taken, 1, RECENT)
        return (
            jax.tree.map(lambda change: jnp.where(good, change, jnp.zeros_like(change)), changes),
            GuardState(
                jax.tree.map(lambda new, old: jnp.where(good, new, old), inner, state.inner),
                jnp.where(good, mean, state.recent_norm),
                taken,
                state.skipped + ~good,
                jnp.where(good, 0, state.in_row + 1),
            ),
        )

    return optax.GradientTransformationExtraArgs(init, update)


def guard_metrics(state: Any) -> dict[str, jax.Array]:
    """Returns what the guard says of the last step; empty without one."""
    if not isinstance(state, GuardState):
        return {}
    return {"recent_grad_norm": state.recent_norm, "skipped": state.skipped, "skipped_in_row": state.in_row}
