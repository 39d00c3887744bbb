"""The same run on several meshes: relative difference of its losses from those of one device, and memory per device.

    python -m experiments.benchmarks.meshes --config=experiments/configs/sizes.py:mini --config.data.corpus=DIR \\
        --config.data.sequence_length=64 --config.train.batch_size=16 --num_cpu_devices=8

Matrix products are computed in full precision; dropout is as configured.
"""

import copy
import dataclasses
from typing import Any

import jax
from absl import flags

from bert_jax import sharding
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig
from bert_jax.training.placed import PlacedTask
from bert_jax.training.program import Program
from bert_jax.training.run import prepare
from bert_jax.training.state import TrainState
from bert_jax.training.task import TaskKind
from experiments import config_flags, devices

PRETRAINING = Pretraining()
_STEPS = flags.DEFINE_integer("steps", 50, "Number of steps to compare.", lower_bound=1)


@dataclasses.dataclass(frozen=True)
class Measured:
    """The first steps of a run on one mesh.

    Attributes:
      losses: the loss of each step.
      state: the state after the last step.
      program: the program that ran them.
    """

    losses: list[float]
    state: TrainState
    program: Program

    def difference(self, other: "Measured") -> float:
        """Returns the largest relative difference between the losses of the same step."""
        return max(abs(a - b) / abs(b) for a, b in zip(self.losses, other.losses, strict=True))


def measure(placed: PlacedTask, steps: int) -> Measured:
    """Runs the first steps of a run."""
    with jax.set_mesh(placed.mesh), sharding.rules():
        program = placed.program(placed.config.train.length)
        state, losses = program.make_state({}), []
        for step in range(steps):
            state, metrics = program.train_step(state, placed.work(step).batch)
            losses.append(float(metrics["loss"]))
    return Measured(losses, state, program)


def held(tree: Any) -> int:
    """Returns the bytes of a tree's arrays on the first device of this process."""
    first = jax.local_devices()[0]
    shards = (shard for leaf in jax.tree.leaves(tree) for shard in leaf.addressable_shards if shard.device == first)
    return sum(shard.data.nbytes for shard in shards)


def on_devices(
    config: Any, mesh: MeshConfig, devices: list[jax.Device], kind: TaskKind[Any] = PRETRAINING
) -> PlacedTask:
    """Prepares a run of any kind of task on some of the devices."""
    config = dataclasses.replace(copy.deepcopy(config), mesh=MeshConfig())
    return dataclasses.replace(prepare(kind, config), mesh=sharding.make_mesh(mesh, devices))


def on_one_device(config: PretrainingConfig) -> PlacedTask:
    """Prepares the run on the first device."""
    return on_devices(config, MeshConfig(), jax.devices()[:1])


def on_mesh(config: PretrainingConfig, mesh: MeshConfig, microbatches: int = 1) -> PlacedTask:
    """Prepares the run on all devices."""
    config = copy.deepcopy(config)
    config.mesh, config.train.grad_accumulation_steps = mesh, microbatches
    return prepare(PRETRAINING, config)


def cases(count: int) -> list[tuple[MeshConfig, int]]:
    """Returns meshes of `count` devices, a multiple of 8, each with a number of microbatches."""
    mixed = MeshConfig(-1, 2, 2)
    return [
        (MeshConfig(count), 1),
        (MeshConfig(1, count), 1),
        (MeshConfig(-1, 1, 4), 1),
        (mixed, 1),
        (mixed, 2),
    ]


def row(*cells: Any) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def megabytes(seen: Measured) -> list[str]:
    return [f"{held(tree) / 1e6:.2f}" for tree in (seen.state.params, seen.state.opt_state)]


def main(config: PretrainingConfig) -> None:
    devices.start()
    jax.config.update("jax_default_matmul_precision", "highest")
    alone = measure(on_one_device(config), _STEPS.value)
    row(
        "data × fsdp × tensor",
        "microbatches",
        "loss differs by",
        "parameters, MB per device",
        "optimiser, MB per device",
    )
    row(*["---"] * 5)
    row("one device", 1, "", *megabytes(alone))
    for mesh, microbatches in cases(jax.device_count()):
        placed = on_mesh(config, mesh, microbatches)
        seen, shape = measure(placed, _STEPS.value), placed.mesh.shape.values()
        row(" × ".join(map(str, shape)), microbatches, f"{seen.difference(alone):.1e}", *megabytes(seen))


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
