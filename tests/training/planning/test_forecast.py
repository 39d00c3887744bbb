import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bert_jax.training.planning import devices, forecast
from bert_jax.training.planning.forecast import Memory


def test_bytes_are_those_of_the_arrays():
    mesh = Mesh(np.array(jax.devices()[:1]), ("x",))
    place = NamedSharding(mesh, PartitionSpec("x"))
    tree = {
        "a": jax.ShapeDtypeStruct((8, 3), jnp.float32, sharding=place),
        "b": jax.ShapeDtypeStruct((6,), jnp.bfloat16, sharding=place),
        "count": jax.ShapeDtypeStruct((), jnp.int32, sharding=NamedSharding(mesh, PartitionSpec())),
    }
    assert forecast.bytes_per_device(tree) == 8 * 3 * 4 + 6 * 2 + 4


def test_memory_counts_state_batch_and_temporaries_once():
    mesh = Mesh(np.array(jax.devices()[:1]), ("x",))
    place = NamedSharding(mesh, PartitionSpec())
    params = {"w": jax.ShapeDtypeStruct((64, 64), jnp.float32, sharding=place)}
    moments = {"m": params["w"], "v": params["w"]}
    state = types.SimpleNamespace(params=params, opt_state=moments)

    def step(params, moments, batch):
        return params, moments, jnp.exp(jnp.sin(batch) @ params["w"] @ params["w"]).sum()

    batch = jax.ShapeDtypeStruct((1000, 64), jnp.float32)
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, moments, batch).compile()
    small = jax.jit(lambda params, batch: (batch @ params["w"]).sum())
    evaluation = small.lower(params, jax.ShapeDtypeStruct((10, 64), jnp.float32)).compile()
    need = forecast.memory(state, [compiled], evaluation, available=10**9)
    assert (need.parameters, need.optimizer) == (64 * 64 * 4, 2 * 64 * 64 * 4)
    assert need.workspace >= 1000 * 64 * 4 * 2  # the batch and one product at least
    assert need.total == need.parameters + need.optimizer + need.workspace
    # An evaluation counts where it needs more than a step; the optimiser stays where it is meanwhile.
    large = small.lower(params, jax.ShapeDtypeStruct((50_000, 64), jnp.float32)).compile()
    more = forecast.memory(state, [compiled], large, available=10**9)
    assert (more.parameters, more.optimizer) == (need.parameters, need.optimizer)
    assert more.workspace >= 50_000 * 64 * 4 > need.workspace


def test_too_little_memory_is_said_with_a_mend():
    fits, does_not = Memory(10, 20, 30, 60), Memory(10, 20, 31, 60)
    assert "warning" not in "\n".join(forecast.describe_memory(fits, 1, 1))
    assert "train.grad_accumulation_steps" in "\n".join(forecast.describe_memory(does_not, 1, 1))


def test_parameters_that_stay_are_told_apart():
    need = Memory(10, 20, 30, 60)
    assert forecast.describe_memory(need, 5000, 5000)[0] == "parameters   5,000"
    assert forecast.describe_memory(need, 5000, 1200)[0] == "parameters   5,000, 1,200 of them trained"


def test_flops_of_phases_add_up_from_where_the_run_stands():
    def work(step):
        return types.SimpleNamespace(flops=1.0 if step < 5 else 10.0)

    assert forecast.total_flops(work, (0, 5), 0, 8) == 5 + 30
    assert forecast.total_flops(work, (0, 5), 6, 8) == 20
    assert forecast.total_flops(work, (0, 5), 0, 4) == 4  # the run ends before the second phase
    assert forecast.total_flops(work, (0, 5, 9), 8, 8) == 0


def test_phases_that_are_left():
    assert forecast.phases_left((0, 5, 9), 0, 20) == [0, 5, 9]
    assert forecast.phases_left((0, 5, 9), 5, 20) == [5, 9]
    assert forecast.phases_left((0, 5, 9), 6, 8) == [6]
    assert forecast.phases_left((0,), 8, 8) == []


def test_the_matrix_peak_is_that_of_products():
    """The machine multiplies at least half as fast as it was measured to."""
    peak, size = devices.matrix_peak("float32"), 1024
    x = jnp.ones((size, size))
    multiply = jax.jit(lambda x: x @ x)
    multiply(x).block_until_ready()
    seconds = min(devices._seconds(multiply, x) for _ in range(10))
    assert 2 * size**3 / seconds == pytest.approx(peak, rel=0.75)
    assert devices.memory() > 1e9
