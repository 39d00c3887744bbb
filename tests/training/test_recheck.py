import jax
import jax.numpy as jnp
import pytest

from bert_jax.training.recheck import HardwareError, rechecked


def test_each_nth_step_is_computed_twice_from_the_same_state():
    calls = []

    @jax.jit
    def add(state, batch):
        return {"w": state["w"] + batch}, {}

    def step(state, batch, taken):
        calls.append(float(state["w"][0]))
        return add(state, batch)

    one = rechecked(step, every=3)
    state = {"w": jnp.zeros(4)}
    for taken in range(1, 6):
        state, _ = one(state, 1.0, taken)
    assert float(state["w"][0]) == 5
    assert calls == [0, 1, 1, 2, 3, 4, 4]  # steps 2, 3 (twice), 4, 5, 6 (twice)


def test_a_bit_that_differs_is_an_error():
    results = iter([0.0, 0.0, 0.0, 2e-38])

    def faulty(state, batch, taken):
        return {"w": state["w"] + batch, "v": state["w"].at[2].add(next(results))}, {}

    one = rechecked(faulty, every=1)
    one({"w": jnp.zeros(4)}, 1.0, 0)
    with pytest.raises(HardwareError, match="Step 2, computed twice, had two results, in v: a device computes wrongly"):
        one({"w": jnp.zeros(4)}, 1.0, 1)
