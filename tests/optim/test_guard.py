import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.optim.guard import SETTLED, guard_metrics, guarded


def run(gradients, losses=None, spike_factor=None, optimizer=None):
    """The parameters after each step, and what the guard says of it."""
    made = guarded(optimizer or optax.adam(0.1), spike_factor)
    params = {"w": jnp.ones(3), "b": jnp.zeros(())}
    state, found = made.init(params), []
    for i, size in enumerate(gradients):
        grads = jax.tree.map(lambda leaf: jnp.full_like(leaf, size), params)  # noqa: B023
        loss = jnp.float32(losses[i] if losses else 1.0)
        updates, state = jax.jit(made.update)(grads, state, params, value=loss)
        params = optax.apply_updates(params, updates)
        found.append((jax.device_get(params), jax.device_get(guard_metrics(state))))
    return found


def bits(params):
    return {name: leaf.tobytes() for name, leaf in params.items()}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_run_with_bad_steps_is_the_run_without_them(bad):
    found = run([0.1, 0.2, bad, bad, 0.3, bad, 0.4])
    assert bits(found[-1][0]) == bits(run([0.1, 0.2, 0.3, 0.4])[-1][0])
    assert bits(found[3][0]) == bits(found[1][0])
    assert [int(metrics["skipped_in_row"]) for _, metrics in found] == [0, 0, 1, 2, 0, 1, 0]
    assert int(found[-1][1]["skipped"]) == 3


def test_a_loss_that_is_not_finite_counts():
    found = run([0.1, 0.2, 0.3], losses=[1.0, np.nan, 1.0])
    assert bits(found[-1][0]) == bits(run([0.1, 0.3])[-1][0])


def test_spikes_are_relative_to_recent_steps_that_were_taken():
    calm = [0.1] * SETTLED
    found = run([*calm, 0.5, 0.39, 0.41, 5.0], spike_factor=4.0)
    assert [int(metrics["skipped_in_row"]) for _, metrics in found[SETTLED:]] == [1, 0, 0, 1]
    assert found[SETTLED][1]["recent_grad_norm"] == pytest.approx(0.2)  # of 4 numbers of 0.1; not moved by the spike
    assert run([0.1, 5.0], spike_factor=4.0)[-1][1]["skipped"] == 0  # at first, norms move by their own
    assert run([*calm, 5.0])[-1][1]["skipped"] == 0
