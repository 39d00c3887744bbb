"""Compiles the training step for hardware that is not there, and says what it would take.

    python -m experiments.compile_check --config=experiments/configs/base.py --topology=v5e:16x16 \\
        --config.train.batch_size=32768 --config.model.dtype=bfloat16 --config.mesh.fsdp=16

Everything is of one device: parameters, optimiser and activations against its memory, floating-point operations, bytes
of each kind of collective, attention kernels, and the time that the ceilings of arithmetic, memory and interconnect
leave a step. No corpus is needed. TPU topologies need the extra tpu-aot, gpu:h200 the extra gpu-aot.
"""

import dataclasses
import json
import pathlib
import time
from typing import Any

import jax
import numpy as np
from absl import flags

from bert_jax import batch, sharding
from bert_jax.data.phases import Phase, plan_phases
from bert_jax.model.bert import BertForPretraining, layer_of
from bert_jax.tasks.pretraining import PretrainingConfig, check_config, make_loss_fn
from bert_jax.training import compiled_text, forecast, hardware
from bert_jax.training.compiled_text import Counts
from bert_jax.training.hardware import Chip
from bert_jax.training.program import Program, make_program
from experiments import config_flags

_TOPOLOGY = flags.DEFINE_string("topology", None, f"What to compile for: {hardware.EXAMPLES}.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "A file to write the numbers to as JSON.")

WORDS = 30_522  # in BERT's released vocabulary
REMEDY = "raise train.accumulation or mesh.fsdp, lower train.batch_size, or set model.remat=true."


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one device does in one step of a phase.

    Attributes:
      seconds: that compiling took.
      need: of its memory; none where the compiler refused, see `refusal`.
      counts: what the program's text says; none in that case.
    """

    phase: Phase
    seconds: float
    need: forecast.Memory | None
    counts: Counts | None
    refusal: str = ""


def main(config: PretrainingConfig) -> None:
    topology = hardware.topology(_TOPOLOGY.value)
    complete(config)
    check_config(config, topology.devices)
    mesh = sharding.make_mesh(config.mesh, topology.devices)
    print("\n".join(describe_target(_TOPOLOGY.value, config, mesh, topology.device)), flush=True)
    rows = []
    with jax.set_mesh(mesh), sharding.rules():
        program = abstract_program(config, mesh)
        for phase in plan_phases(config.data, config.train.batch_size):
            finding = compile_phase(program, phase, mesh, topology.device)
            print("\n".join(describe(finding, topology.device, config.model.dtype)), flush=True)
            rows.append(numbers(_TOPOLOGY.value, config, mesh, finding, topology.device))
    if _OUTPUT.value:
        pathlib.Path(_OUTPUT.value).write_text(json.dumps(rows, indent=1) + "\n")


def complete(config: PretrainingConfig) -> None:
    """Fills in what only a corpus or a clock would tell."""
    if config.model.vocab_size is None:
        config.model.vocab_size = WORDS
        print(f"model.vocab_size is the tokenizer's, of which nothing is known here: taken to be {WORDS:,}.")
    if config.train.num_steps is None:
        config.train.num_steps, config.train.time_budget = 1_000_000, None  # the schedule's length costs nothing
    config.data.corpus = config.data.corpus or "none"


def abstract_batch(phase: Phase, mesh: jax.sharding.Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """A phase's batches, by shape and place."""
    data = phase.config
    sizes = {"B": phase.batch_size, "S": data.sequence_length, "K": data.row_predictions, "N": data.row_examples}
    place = sharding.batch_sharding(mesh)
    fields = batch.shapes(sizes).items()
    return {name: jax.ShapeDtypeStruct(shape, dtype, sharding=place) for name, (shape, dtype) in fields}


def abstract_program(config: PretrainingConfig, mesh: jax.sharding.Mesh) -> Program:
    """The functions that `experiments.pretrain` would run, on a mesh that cannot run them."""
    model = BertForPretraining(config.model)
    data = plan_phases(config.data, config.train.batch_size)[0].config
    sizes = {"B": 1, "S": data.sequence_length, "K": data.row_predictions, "N": data.row_examples}

    def init(key: jax.Array) -> Any:
        row = {name: np.zeros(shape, dtype) for name, (shape, dtype) in batch.shapes(sizes).items()}
        return model.init(key, row)["params"]

    loss_fn = make_loss_fn(model, data, ("one",))
    return make_program(init, loss_fn, layer_of, config, config.train.num_steps, config.data.group_rows, mesh)


def compile_phase(program: Program, phase: Phase, mesh: jax.sharding.Mesh, device: Chip) -> Finding:
    """Compiles the step of one phase."""
    began = time.perf_counter()
    try:
        compiled = program.compiled(abstract_batch(phase, mesh))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        refusal = str(error).split("\n")[0].split("RESOURCE_EXHAUSTED: ")[-1].rstrip(". ")
        return Finding(phase, time.perf_counter() - began, None, None, refusal)
    need = forecast.memory(program.state_shapes, [compiled], device.memory)
    return Finding(phase, time.perf_counter() - began, need, compiled_text.count(compiled.as_text()))


def ceilings(counts: Counts, device: Chip, dtype: str) -> dict[str, float]:
    """Seconds that a step takes at least, by what it waits for."""
    return {
        "arithmetic": counts.flops / getattr(device, dtype),
        "memory": counts.traffic / device.bandwidth,
        "interconnect": sum(moved.sent for moved in counts.collectives.values()) / device.interconnect,
    }


def describe_target(name: str, config: PretrainingConfig, mesh: jax.sharding.Mesh, device: Chip) -> list[str]:
    """Lines about what is compiled for."""
    shape = " × ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    dtype = config.model.dtype
    return [
        f"{name}: {mesh.size} × {mesh.devices.flat[0].device_kind}; mesh {shape}",
        f"  a device     {getattr(device, dtype) / 1e12:.0f} TFLOP/s in {dtype},"
        f" {forecast.gigabytes(device.memory)} at {device.bandwidth / 1e9:.0f} GB/s,"
        f" {device.interconnect / 1e9:.0f} GB/s to others; {device.source}",
    ]


def describe(finding: Finding, device: Chip, dtype: str) -> list[str]:
    """Lines about a phase's step."""
    phase, counts = finding.phase, finding.counts
    lines = [
        f"from step {phase.start + 1:,}: {phase.batch_size:,} rows × {phase.config.sequence_length} tokens,"
        f" {phase.config.row_predictions} predictions a row",
        f"  compiled in  {finding.seconds:.0f} s",
    ]
    if counts is None:
        return [*lines, f"  does not fit {finding.refusal}: {REMEDY}"]
    need, seconds = finding.need, ceilings(counts, device, dtype)
    longest = max(seconds, key=seconds.get)
    fits = need.total <= need.available
    lines += [
        f"  memory       {forecast.gigabytes(need.total)} of {forecast.gigabytes(need.available)}: parameters"
        f" {forecast.gigabytes(need.parameters)}, optimiser {forecast.gigabytes(need.optimizer)}, activations and"
        f" gradients {forecast.gigabytes(need.workspace)}" + ("" if fits else f"; does not fit: {REMEDY}"),
        f"  work         {forecast.operations(counts.flops)} in products,"
        f" {forecast.gigabytes(counts.traffic)} to and from memory",
        *(
            f"  {kind:<18} {forecast.gigabytes(moved.bytes)} in {moved.count:,},"
            f" of which it sends {forecast.gigabytes(moved.sent)}"
            for kind, moved in counts.collectives.items()
        ),
        *([] if counts.collectives else ["  collectives  none"]),
        "  attention    "
        + (", ".join(f"{times:,} × {name}" for name, times in counts.attention.items()) or "XLA's own products"),
        f"  a step takes {1e3 * seconds[longest]:.1f} ms at least, for its {longest}: "
        + ", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in seconds.items()),
        f"  that is      {phase.batch_size / seconds[longest]:,.0f} rows a second at most, if all three overlap fully"
        " and reach their peaks",
    ]
    if counts.attention:
        lines.append("  note         the products inside these kernels are not counted")
    if counts.unknown_loops:
        lines.append(f"  note         the bodies of {counts.unknown_loops} loops of unknown length are counted once")
    return lines


def numbers(
    name: str, config: PretrainingConfig, mesh: jax.sharding.Mesh, finding: Finding, device: Chip
) -> dict[str, Any]:
    """The same as a row of a table; seconds and bytes."""
    row = {
        "topology": name,
        "mesh": dict(mesh.shape),
        "batch_size": finding.phase.batch_size,
        "sequence_length": finding.phase.config.sequence_length,
        "dtype": config.model.dtype,
        "accumulation": config.train.accumulation,
        "compile_seconds": finding.seconds,
    }
    if finding.counts is None:
        return row | {"fits": False, "refusal": finding.refusal}
    return row | {
        "fits": finding.need.total <= finding.need.available,
        "memory": dataclasses.asdict(finding.need),
        **dataclasses.asdict(finding.counts),
        "ceilings": ceilings(finding.counts, device, config.model.dtype),
    }


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
