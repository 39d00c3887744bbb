import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.optim.guard import guarded
from bert_jax.optim.mean import averaged, mean_params

PARAMS = {"first": {"kernel": jnp.array([1.0, -2.0, 3.0])}, "second": {"kernel": jnp.array([[0.5, 0.25]])}}


def run(optimizer, gradients):
    """The parameters and their mean after each step."""
    params, state, found = PARAMS, optimizer.init(PARAMS), []
    update = jax.jit(optax.with_extra_args_support(optimizer).update)
    for size in gradients:
        grads = jax.tree.map(lambda leaf: jnp.full_like(leaf, size), params)  # noqa: B023
        changes, state = update(grads, state, params, value=jnp.float32(1.0))
        params = optax.apply_updates(params, changes)
        found.append(jax.device_get((params, mean_params(state, params))))
    return found


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_mean_is_that_of_all_steps_without_the_start(decay):
    """In closed form, in float64."""
    found = run(averaged(optax.sgd(0.1), decay), range(1, 41))
    for t in (1, 2, 7, 40):
        shares = (1 - decay) * decay ** np.arange(t - 1.0, -1, -1) / (1 - decay**t)
        assert shares.sum() == pytest.approx(1)
        for part in PARAMS:
            steps = np.stack([params[part]["kernel"] for params, _ in found[:t]]).astype(np.float64)
            mean = found[t - 1][1][part]["kernel"]
            np.testing.assert_allclose(mean, np.tensordot(shares, steps, 1), rtol=1e-5)


def test_the_optimiser_is_the_same_with_a_mean():
    plain, with_mean = (run(optimizer, range(5)) for optimizer in (optax.adam(0.1), averaged(optax.adam(0.1), 0.9)))
    for (params, itself), (others, _) in zip(plain, with_mean, strict=True):
        jax.tree.map(np.testing.assert_array_equal, params, others)
        jax.tree.map(np.testing.assert_array_equal, params, itself)  # without a mean, the parameters are scored


def test_before_the_first_step_the_mean_is_where_the_run_starts():
    optimizer = averaged(optax.sgd(0.1), 0.9)
    jax.tree.map(np.testing.assert_array_equal, mean_params(optimizer.init(PARAMS), PARAMS), PARAMS)


def test_what_is_not_trained_has_no_mean_and_takes_no_memory():
    optimizer = averaged(optax.masked(optax.sgd(0.1), {"first": False, "second": True}), 0.9, "^first")
    state = optimizer.init(PARAMS)
    assert [leaf.shape for leaf in jax.tree.leaves(state.mean)] == [(1, 2)]
    changed = PARAMS | {"first": {"kernel": jnp.zeros(3)}}
    np.testing.assert_array_equal(mean_params(state, changed)["first"]["kernel"], 0)


def test_a_step_that_is_skipped_leaves_the_mean_alone():
    def bad(gradients):
        return run(guarded(averaged(optax.adam(0.1), 0.9), None), gradients)

    with_bad, without = bad([0.1, np.nan, 0.2, np.inf, np.nan, 0.3]), bad([0.1, 0.2, 0.3])
    for index, expected in ((1, 0), (2, 1), (4, 1), (5, 2)):
        jax.tree.map(np.testing.assert_array_equal, with_bad[index], without[expected])
