"""The type, memory and measured speed of a run's devices."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jax.sharding import Mesh, NamedSharding, PartitionSpec

LARGEST, SMALLEST = 8192, 512  # side lengths of the square matrices to multiply
LONG_ENOUGH = 0.02  # seconds per product beyond which launch overhead is negligible
REPEATS = 5


def describe() -> str:
    """Describes the devices, such as `8 × NVIDIA H200 in 2 processes`."""
    processes = jax.process_count()
    return f"{jax.device_count()} × {jax.devices()[0].device_kind}" + (f" in {processes} processes" * (processes > 1))


def memory() -> int:
    """Returns the memory of one device, in bytes. Simulated devices share the host's memory."""
    device = jax.local_devices()[0]
    limit = (device.memory_stats() or {}).get("bytes_limit")
    return limit or psutil.virtual_memory().total // jax.local_device_count()


@functools.cache
def matrix_peak(dtype: str) -> float:
    """Measures the peak of matrix products in `dtype`: floating-point operations per second over all devices.

    The devices of this process multiply at the same time, so devices that share a machine share its peak.
    """
    mesh = Mesh(np.array(jax.local_devices()), ("device",))
    with jax.set_mesh(mesh):  # the run's own mesh may include other processes' devices
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
