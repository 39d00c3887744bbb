"""Estimates the memory, work and time of a run before its first step."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from bert_jax.training.config import MEMORY_ADVICE
from bert_jax.training.planning import devices
from bert_jax.training.progress import duration

# Shares of the matrix peak that runs have reached on real tokens; they bound the expected time.
USUAL_MFU = (0.6, 0.25)


@dataclasses.dataclass(frozen=True)
class Memory:
    """The memory use of one device, in bytes.

    Attributes:
      parameters, optimizer: this device's shards of the state.
      workspace: the activations, gradients and batch of one step, or those of an evaluation if they are larger.
      available: the capacity of the device.
    """

    parameters: int
    optimizer: int
    workspace: int
    available: int

    @property
    def total(self) -> int:
        return self.parameters + self.optimizer + self.workspace


def bytes_per_device(tree: Any) -> int:
    """Returns the bytes per device of a tree of sharded arrays or `jax.ShapeDtypeStruct`s."""
    return sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape), dtype=np.int64)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def memory(
    state_shapes: Any,
    steps: list[jax.stages.Compiled],
    evaluation: jax.stages.Compiled,
    available: int,
    copies: int = 1,
) -> Memory:
    """Returns the largest memory use among several compiled training steps of the same state and its evaluation.

    Args:
      state_shapes: the state.
      steps: the training steps.
      evaluation: the evaluation step.
      available: the bytes of a device.
      copies: how many states there are at a time.
    """
    sizes = bytes_per_device(state_shapes.params), bytes_per_device(state_shapes.opt_state)
    parameters, optimizer = (copies * size for size in sizes)

    def workspace(compiled: jax.stages.Compiled, state: int) -> int:
        need: Any = compiled.memory_analysis()
        return max(0, need.argument_size_in_bytes - state) + need.temp_size_in_bytes

    # A step's outputs need no extra memory, because the state is donated; an evaluation's are a few numbers.
    needs = [workspace(step, sum(sizes)) for step in steps] + [workspace(evaluation, sizes[0])]
    return Memory(parameters, optimizer, max(needs), available)


def gigabytes(count: float) -> str:
    """Formats a number of bytes, such as `1.2 GB` or `34 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def operations(count: float) -> str:
    """Formats a count, such as `1.23e+15 floating-point operations`."""
    return f"{count:.2e} floating-point operations"


def describe_memory(need: Memory, count: int, trained: int) -> list[str]:
    """Describes the parameters, how many are trained, and the memory per device; warns if that is insufficient."""
    lines = [
        f"parameters   {count:,}" + (f", {trained:,} of them trained" if trained < count else ""),
        f"memory       {gigabytes(need.total)} of {gigabytes(need.available)} a device: parameters"
        f" {gigabytes(need.parameters)}, optimiser {gigabytes(need.optimizer)}, activations and gradients"
        f" {gigabytes(need.workspace)}",
    ]
    if need.total > need.available:
        lines.append(f"warning      that is more than the device has: {MEMORY_ADVICE}")
    return lines


def describe_evaluation(rows: int, batch_size: int) -> str:
    """Describes the held-out set and how it is cut into batches."""
    return f"held out     {rows:,} rows, scored {batch_size:,} at a time"


def describe_work(flops: float, peak: float) -> list[str]:
    """Describes the remaining `flops` and the time they take on devices with this matrix peak."""
    quick, slow = (duration(flops / peak / share) for share in USUAL_MFU)
    return [
        f"work         {operations(flops)} over real tokens",
        f"time         {quick} to {slow} at {100 * USUAL_MFU[0]:.0f} to {100 * USUAL_MFU[1]:.0f} % of the matrix peak,"
        f" {peak / 1e12:.3g} TFLOP/s in all (measured), of which small models reach less;"
        " compilation, evaluations and checkpoints come on top",
    ]


def total_flops(work: Callable[[int], Any], phases: tuple[int, ...], start: int, num_steps: int) -> float:
    """Estimates the floating-point operations left after `start` steps from the first batch of each phase."""
    total = 0.0
    for begin, end in zip(phases, (*phases[1:], num_steps), strict=True):
        begin, end = max(begin, start), min(end, num_steps)
        if begin < end:
            total += work(begin).flops * (end - begin)
    return total


def phases_left(phases: tuple[int, ...], start: int, num_steps: int) -> list[int]:
    """Returns one step of each remaining phase: `start`, then the first step of each later phase."""
    return [start, *(step for step in phases if start < step < num_steps)] if start < num_steps else []


def describe_devices(mesh: jax.sharding.Mesh) -> str:
    """Describes the mesh and its devices."""
    shape = " × ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    return f"devices      {devices.describe()}; mesh {shape}"
