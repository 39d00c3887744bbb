"""What the devices of a run are, hold and can do."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jax.sharding import Mesh, NamedSharding, PartitionSpec

LARGEST, SMALLEST = 8192, 512  # sides of the square matrices that are multiplied
LONG_ENOUGH = 0.02  # seconds of one product, from which on starting it costs nothing to speak of
REPEATS = 5


def describe() -> str:
    """`8 × NVIDIA H200 in 2 processes`."""
    processes = jax.process_count()
    return f"{jax.device_count()} × {jax.devices()[0].device_kind}" + (f" in {processes} processes" * (processes > 1))


def memory() -> int:
    """Bytes that one device can hold. Simulated devices share the machine's."""
    device = jax.local_devices()[0]
    limit = (device.memory_stats() or {}).get("bytes_limit")
    return limit or psutil.virtual_memory().total // jax.local_device_count()


@functools.cache
def matrix_peak(dtype: str) -> float:
    """Floating-point operations a second that matrix products of `dtype` reach on all devices together, measured.

    The devices of this process multiply at the same time, so that devices which share a machine share its peak.
    """
    mesh = Mesh(np.array(jax.local_devices()), ("device",))
    with jax.set_mesh(mesh):  # the run's own mesh may be of devices of other processes too
        best = _local_peak(mesh, dtype)
    return best * jax.process_count()


def _local_peak(mesh: Mesh, dtype: str) -> float:
    place = NamedSharding(mesh, PartitionSpec("device"))
    multiply = jax.jit(lambda x: x @ x, out_shardings=place)
    best, size = 0.0, SMALLEST
    while size <= LARGEST:
        x = jax.jit(lambda size=size: jnp.full((mesh.size, size, size), 1 / size, dtype), out_shardings=place)()
        multiply(x).block_until_ready()
        seconds = min(_seconds(multiply, x) for _ in range(REPEATS))
        best = max(best, 2 * size**3 * mesh.size / seconds)
        if seconds > LONG_ENOUGH:
            break
        size *= 2
    return best


def _seconds(function, argument) -> float:
    began = time.perf_counter()
    function(argument).block_until_ready()
    return time.perf_counter() - began
