"""The same run on several meshes: how far its losses are, relatively, from those of one device; what a device holds.

    python -m experiments.benchmarks.meshes --config=experiments/configs/mini.py --config.data.corpus=DIR \\
        --config.data.sequence_length=64 --config.train.batch_size=16 --num_cpu_devices=8

Products are computed in full precision, dropout as configured.
"""

import copy
import dataclasses

import jax
from absl import flags

from bert_jax import sharding
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig, set_up
from bert_jax.training.program import Program
from bert_jax.training.run import make_run_program
from bert_jax.training.state import TrainState
from experiments import config_flags, devices

_STEPS = flags.DEFINE_integer("steps", 50, "Steps to compare.", lower_bound=1)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was seen on one mesh.

    Attributes:
      losses: of each step.
      state: after them.
      program: that took them.
    """

    losses: list[float]
    state: TrainState
    program: Program

    def difference(self, other: "Measured") -> float:
        """The largest relative one between losses of the same step."""
        return max(abs(a - b) / abs(b) for a, b in zip(self.losses, other.losses, strict=True))


def measure(run: Pretraining, steps: int) -> Measured:
    """Takes the first steps of a run."""
    with jax.set_mesh(run.mesh), sharding.rules():
        program = make_run_program(run.task(), run.config)
        state, losses = program.make_state(), []
        for step in range(steps):
            state, metrics = program.train_step(state, run.work(step).batch)
            losses.append(float(metrics["loss"]))
    return Measured(losses, state, program)


def held(tree) -> int:
    """Bytes of the arrays' parts that lie on the first device of this process."""
    first = jax.local_devices()[0]
    shards = (shard for leaf in jax.tree.leaves(tree) for shard in leaf.addressable_shards if shard.device == first)
    return sum(shard.data.nbytes for shard in shards)


def on_devices(config: PretrainingConfig, mesh: MeshConfig, devices: list[jax.Device]) -> Pretraining:
    """The run over some of the devices."""
    config = copy.deepcopy(config)
    config.mesh = MeshConfig()
    return dataclasses.replace(set_up(config), mesh=sharding.make_mesh(mesh, devices))


def on_one_device(config: PretrainingConfig) -> Pretraining:
    """The run on the first device alone."""
    return on_devices(config, MeshConfig(), jax.devices()[:1])


def on_mesh(config: PretrainingConfig, mesh: MeshConfig, accumulation: int = 1) -> Pretraining:
    """The run over all devices."""
    config = copy.deepcopy(config)
    config.mesh, config.train.accumulation = mesh, accumulation
    return set_up(config)


def cases(count: int) -> list[tuple[MeshConfig, int]]:
    """Meshes of `count` devices, a multiple of 8, and parts that a batch is gone through in."""
    mixed = MeshConfig(-1, 2, 2)
    return [
        (MeshConfig(count), 1),
        (MeshConfig(1, count), 1),
        (MeshConfig(-1, 1, 4), 1),
        (mixed, 1),
        (mixed, 2),
    ]


def row(*cells) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def megabytes(seen: Measured) -> list[str]:
    return [f"{held(tree) / 1e6:.2f}" for tree in (seen.state.params, seen.state.opt_state)]


def main(config: PretrainingConfig) -> None:
    devices.start()
    jax.config.update("jax_default_matmul_precision", "highest")
    alone = measure(on_one_device(config), _STEPS.value)
    row("data × fsdp × tensor", "accumulation", "loss differs by", "parameters, MB a device", "optimiser, MB a device")
    row(*["---"] * 5)
    row("one device", 1, "", *megabytes(alone))
    for mesh, parts in cases(jax.device_count()):
        run = on_mesh(config, mesh, parts)
        seen = measure(run, _STEPS.value)
        row(" × ".join(map(str, run.mesh.shape.values())), parts, f"{seen.difference(alone):.1e}", *megabytes(seen))


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
