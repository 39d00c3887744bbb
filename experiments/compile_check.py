"""Compiles the training step for hardware you do not have, and reports what it would need there.

    python -m experiments.compile_check --config=experiments/configs/sizes.py:base --topology=v5e:16x16 \\
        --config.train.batch_size=32768 --config.model.dtype=bfloat16 --config.mesh.fsdp=16

All numbers are for one device: parameters, optimiser and activations compared to its memory, floating-point operations,
bytes of each kind of collective, attention kernels, and the lower bounds that arithmetic, memory and interconnect set
for the time of a step. No corpus is needed. TPU topologies need the extra tpu-aot, gpu:h200 the extra gpu-aot.
"""

import dataclasses
import json
import pathlib
import time
from typing import Any

import jax
from absl import flags

from bert_jax import batch, sharding
from bert_jax.ahead_of_time import compiled_text, hardware
from bert_jax.ahead_of_time.compiled_text import Counts
from bert_jax.ahead_of_time.hardware import Chip
from bert_jax.data.config import DataConfig
from bert_jax.data.evaluation import held_out_config
from bert_jax.data.phases import Phase, plan_phases
from bert_jax.objectives.learner import Learner
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig, make_objectives
from bert_jax.training.config import MEMORY_ADVICE
from bert_jax.training.placed import held_out_batch_size
from bert_jax.training.planning import forecast
from bert_jax.training.program import Program, make_program
from bert_jax.training.run import check_config
from bert_jax.training.task import microbatches
from experiments import config_flags

_TOPOLOGY = flags.DEFINE_string("topology", None, f"The hardware to compile for: {hardware.EXAMPLES}.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "File to which the numbers are written as JSON.")

WORDS = 30_522  # the size of BERT's released vocabulary


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one device needs for one step of a phase.

    Attributes:
      phase: the phase.
      seconds: the time of compiling.
      need: the memory; None if the step did not compile because it does not fit.
      counts: the counts from the compiled text; None in that case.
      refusal: the compiler's message in that case.
    """

    phase: Phase
    seconds: float
    need: forecast.Memory | None
    counts: Counts | None
    refusal: str = ""


def main(config: PretrainingConfig) -> None:
    topology = hardware.topology(_TOPOLOGY.value)
    complete(config)
    check_config(Pretraining(), config, topology.devices)
    mesh = sharding.make_mesh(config.mesh, topology.devices)
    print("\n".join(describe_target(_TOPOLOGY.value, config, mesh, topology.device)), flush=True)
    rows = []
    with jax.set_mesh(mesh), sharding.rules():
        learner, program = abstract_program(config, mesh)
        for phase in plan_phases(config.data, config.train.batch_size):
            shapes = abstract_batch(learner, phase.config, phase.batch_size, mesh)
            finding = compile_phase(program, phase, shapes, abstract_held_out(learner, config, mesh), topology.device)
            print("\n".join(describe(finding, topology.device, config.model.dtype)), flush=True)
            rows.append(numbers(_TOPOLOGY.value, config, mesh, finding, topology.device))
    if _OUTPUT.value:
        pathlib.Path(_OUTPUT.value).write_text(json.dumps(rows, indent=1) + "\n")


def complete(config: PretrainingConfig) -> None:
    """Fills in the fields that only a corpus or a time measurement could determine."""
    if config.model.vocab_size is None:
        config.model.vocab_size = WORDS
        print(f"model.vocab_size is not set, and no tokenizer is known here: assuming {WORDS:,}.")
    if config.train.num_steps is None:
        config.train.num_steps = 1_000_000  # the length of the schedule does not matter here
        config.train.num_epochs = config.train.time_budget = None
    config.data.corpus = config.data.corpus or "none"


def abstract_batch(
    learner: Learner, data: DataConfig, rows: int, mesh: jax.sharding.Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes, dtypes and shardings of batches of that many rows."""
    sizes = {"B": rows, "S": data.sequence_length, "K": data.row_predictions, "N": data.row_examples}
    place = sharding.batch_sharding(mesh)
    return {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=place)
        for name, (shape, dtype) in batch.shapes(learner.columns, sizes).items()
    }


def abstract_held_out(
    learner: Learner, config: PretrainingConfig, mesh: jax.sharding.Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the same for batches of the held-out set, as if all its rows had as many predictions as fit."""
    data = held_out_config(config.data, config.eval)
    rows = -(-config.eval.num_targets // data.row_predictions)
    microbatch = config.train.batch_size // config.train.grad_accumulation_steps
    unit = sharding.data_devices(config.mesh, mesh.size) * data.group_rows
    return abstract_batch(learner, data, held_out_batch_size(rows, microbatch, unit), mesh)


def abstract_program(config: PretrainingConfig, mesh: jax.sharding.Mesh) -> tuple[Learner, Program]:
    """Makes the learner and the program of `experiments.pretrain`, on a mesh that cannot run them."""
    learner = Learner(config.model, make_objectives(config.data, config.mlm))
    phases = plan_phases(config.data, config.train.batch_size)
    return learner, make_program(learner, config, config.train.length, config.data.group_rows, mesh, phases=phases)


def compile_phase(
    program: Program,
    phase: Phase,
    shapes: dict[str, jax.ShapeDtypeStruct],
    held_out: dict[str, jax.ShapeDtypeStruct],
    device: Chip,
) -> Finding:
    """Compiles the step of one phase for batches of these shapes, and the evaluation."""
    began = time.perf_counter()
    try:
        compiled = program.compiled(shapes, phase.start)
        evaluation = program.compiled_evaluation(held_out, phase.start)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        refusal = str(error).split("\n")[0].split("RESOURCE_EXHAUSTED: ")[-1].rstrip(". ")
        return Finding(phase, time.perf_counter() - began, None, None, refusal)
    need = forecast.memory(program.state_shapes, [compiled], evaluation, device.memory)
    text = compiled.as_text()
    assert text is not None  # the compilers of TPUs and GPUs have it
    return Finding(phase, time.perf_counter() - began, need, compiled_text.count(text))


def ceilings(counts: Counts, device: Chip, dtype: str) -> dict[str, float]:
    """Returns lower bounds for the seconds of a step, by their cause."""
    return {
        "arithmetic": counts.flops / getattr(device, dtype),
        "memory": counts.traffic / device.bandwidth,
        "interconnect": sum(moved.sent for moved in counts.collectives.values()) / device.interconnect,
    }


def describe_target(name: str, config: PretrainingConfig, mesh: jax.sharding.Mesh, device: Chip) -> list[str]:
    """Describes the hardware, in lines."""
    shape = " × ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    dtype = config.model.dtype
    return [
        f"{name}: {mesh.size} × {mesh.devices.flat[0].device_kind}; mesh {shape}",
        f"  per device   {getattr(device, dtype) / 1e12:.0f} TFLOP/s in {dtype},"
        f" {forecast.gigabytes(device.memory)} at {device.bandwidth / 1e9:.0f} GB/s,"
        f" {device.interconnect / 1e9:.0f} GB/s to others; {device.source}",
    ]


def describe(finding: Finding, device: Chip, dtype: str) -> list[str]:
    """Describes the step of a phase, in lines."""
    phase, need, counts = finding.phase, finding.need, finding.counts
    lines = [
        f"from step {phase.start + 1:,}: {phase.batch_size:,} rows × {phase.config.sequence_length} tokens,"
        f" {phase.config.row_predictions} predictions per row",
        f"  compiled in  {finding.seconds:.0f} s",
    ]
    if need is None or counts is None:
        return [*lines, f"  does not fit {finding.refusal}: {MEMORY_ADVICE}"]
    seconds = ceilings(counts, device, dtype)
    longest = max(seconds, key=lambda name: seconds[name])
    fits = need.total <= need.available
    lines += [
        f"  memory       {forecast.gigabytes(need.total)} of {forecast.gigabytes(need.available)}: parameters"
        f" {forecast.gigabytes(need.parameters)}, optimiser {forecast.gigabytes(need.optimizer)}, activations and"
        f" gradients {forecast.gigabytes(need.workspace)}" + ("" if fits else f"; does not fit: {MEMORY_ADVICE}"),
        f"  work         {forecast.operations(counts.flops)} in products,"
        f" {forecast.gigabytes(counts.traffic)} to and from memory",
        *(
            f"  {kind:<18} {forecast.gigabytes(moved.bytes)} in {moved.count:,} operations;"
            f" the device sends {forecast.gigabytes(moved.sent)}"
            for kind, moved in counts.collectives.items()
        ),
        *([] if counts.collectives else ["  collectives  none"]),
        "  attention    "
        + (", ".join(f"{times:,} × {name}" for name, times in counts.attention.items()) or "XLA's own products"),
        f"  step time    at least {1e3 * seconds[longest]:.1f} ms, limited by {longest}: "
        + ", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in seconds.items()),
        f"  throughput   at most {phase.batch_size / seconds[longest]:,.0f} rows per second, if all three overlap fully"
        " and reach their peaks",
    ]
    if counts.attention:
        lines.append("  note         the matrix products inside these kernels are not counted")
    if counts.unknown_loops:
        lines.append(f"  note         the bodies of {counts.unknown_loops} loops of unknown length are counted once")
    return lines


def numbers(
    name: str, config: PretrainingConfig, mesh: jax.sharding.Mesh, finding: Finding, device: Chip
) -> dict[str, Any]:
    """Returns the same as a row of a table, in seconds and bytes."""
    row = {
        "topology": name,
        "mesh": dict(mesh.shape),
        "batch_size": finding.phase.batch_size,
        "sequence_length": finding.phase.config.sequence_length,
        "dtype": config.model.dtype,
        "accumulation": microbatches(finding.phase, config.train.grad_accumulation_steps),
        "compile_seconds": finding.seconds,
    }
    if finding.need is None or finding.counts is None:
        return row | {"fits": False, "refusal": finding.refusal}
    return row | {
        "fits": finding.need.total <= finding.need.available,
        "memory": dataclasses.asdict(finding.need),
        **dataclasses.asdict(finding.counts),
        "ceilings": ceilings(finding.counts, device, config.model.dtype),
    }


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
