"""What a run will take, told before its first step."""

import dataclasses
from typing import Any

import jax
import numpy as np

from bert_jax.training import devices
from bert_jax.training.progress import duration

# Shares of the matrix peak that real tokens were seen to reach; they bound the expected time.
USUAL_MFU = (0.6, 0.25)


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes of one device.

    Attributes:
      parameters, optimizer: the state's, as they are cut over the mesh.
      workspace: of one step: activations, gradients, its batch.
      available: what the device holds.
    """

    parameters: int
    optimizer: int
    workspace: int
    available: int

    @property
    def total(self) -> int:
        return self.parameters + self.optimizer + self.workspace


def bytes_per_device(tree: Any) -> int:
    """Bytes that one device holds of a tree of arrays, or of shapes with shardings."""
    return sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape), dtype=np.int64)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def memory(state_shapes: Any, steps: list[jax.stages.Compiled], available: int) -> Memory:
    """The largest need of several compiled training steps of one state."""
    needs = [compiled.memory_analysis() for compiled in steps]
    parameters, optimizer = bytes_per_device(state_shapes.params), bytes_per_device(state_shapes.opt_state)
    # The state's arguments are donated, so outputs take no room of their own.
    batch = max(need.argument_size_in_bytes for need in needs) - parameters - optimizer
    return Memory(parameters, optimizer, max(0, batch) + max(need.temp_size_in_bytes for need in needs), available)


def gigabytes(count: float) -> str:
    """`1.2 GB`, `34 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def operations(count: float) -> str:
    """`1.23e+15 floating-point operations`."""
    return f"{count:.2e} floating-point operations"


def describe_memory(need: Memory, count: int) -> list[str]:
    """Lines about `count` parameters and the memory of a device; a warning where it does not suffice."""
    lines = [
        f"parameters   {count:,}",
        f"memory       {gigabytes(need.total)} of {gigabytes(need.available)} a device: parameters"
        f" {gigabytes(need.parameters)}, optimiser {gigabytes(need.optimizer)}, activations and gradients"
        f" {gigabytes(need.workspace)}",
    ]
    if need.total > need.available:
        lines.append(
            "warning      that is more than the device has: raise train.accumulation or mesh.fsdp, lower"
            " train.batch_size, or set model.remat=true."
        )
    return lines


def describe_work(flops: float, peak: float) -> list[str]:
    """Lines about `flops` left to do on devices of that matrix peak."""
    quick, slow = (duration(flops / peak / share) for share in USUAL_MFU)
    return [
        f"work         {operations(flops)} over real tokens",
        f"time         {quick} to {slow} at {100 * USUAL_MFU[0]:.0f} to {100 * USUAL_MFU[1]:.0f} % of the matrix peak,"
        f" {peak / 1e12:.3g} TFLOP/s in all (measured); evaluations come on top",
    ]


def total_flops(work, stages: tuple[int, ...], start: int, num_steps: int) -> float:
    """Floating-point operations of the steps from `start` on, from the first batch of each stage."""
    total = 0.0
    for begin, end in zip(stages, (*stages[1:], num_steps), strict=True):
        begin, end = max(begin, start), min(end, num_steps)
        if begin < end:
            total += work(begin).flops * (end - begin)
    return total


def stages_left(stages: tuple[int, ...], start: int, num_steps: int) -> list[int]:
    """A step of each stage that is still to come: `start` itself, then first steps."""
    return [start, *(step for step in stages if start < step < num_steps)] if start < num_steps else []


def describe_devices(mesh: jax.sharding.Mesh) -> str:
    """The mesh and what it is made of."""
    shape = " × ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    return f"devices      {devices.describe()}; mesh {shape}"
