import json
import subprocess
import sys

import jax
import pytest

from bert_jax import sharding
from bert_jax.ahead_of_time import compiled_text, hardware
from bert_jax.data.phases import plan_phases
from bert_jax.errors import ConfigError
from bert_jax.objectives.learner import Learner
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.pretraining import Pretraining, make_objectives, training_batches
from bert_jax.training.planning import forecast
from bert_jax.training.run import prepare
from experiments import compile_check

FLAGS = [
    "--config=experiments/configs/sizes.py:tiny",
    "--config.model.num_layers=1",
    "--config.model.hidden_size=32",
    "--config.model.vocab_size=128",
    "--config.data.sequence_length=32",
    "--config.train.batch_size=16",
    "--config.train.grad_accumulation_steps=2",
    "--config.mesh.fsdp=2",
]


def check(*flags):
    command = [sys.executable, "-m", "experiments.compile_check", *FLAGS, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("examples", ["bert", "candidates"])
def test_shapes_are_those_of_real_batches_in_every_phase(config, examples):
    config.data.examples = examples
    config.data.max_predictions = None
    config.data.phases = "2: sequence_length=32 batch_size=16 max_examples=2"
    mesh = sharding.make_mesh(config.mesh)
    _, batches = training_batches(config)
    learner = Learner(config.model, make_objectives(config.data))
    task = prepare(Pretraining(), config).task
    held_out = compile_check.abstract_held_out(learner, config, mesh)
    assert {name: (x.shape[1:], x.dtype) for name, x in held_out.items()} == {
        name: (x.shape[1:], x.dtype) for name, x in task.held_out.items()
    }
    for phase in plan_phases(config.data, config.train.batch_size):
        shapes = compile_check.abstract_batch(learner, phase.config, phase.batch_size, mesh)
        real = sharding.place_batch(batches.batch(phase.start), mesh)
        assert {name: (x.shape, x.dtype, x.sharding) for name, x in shapes.items()} == {
            name: (x.shape, x.dtype, x.sharding) for name, x in real.items()
        }


def test_the_step_is_the_one_that_trains_and_microbatches_are_all_counted(config):
    config.model.num_layers = 1
    placed, flops = prepare(Pretraining(), config), []
    (phase,) = plan_phases(config.data, config.train.batch_size)
    for microbatches in (1, 4):
        config.train.grad_accumulation_steps = microbatches
        with jax.set_mesh(placed.mesh), sharding.rules():
            learner, program = compile_check.abstract_program(config, placed.mesh)
            shapes = compile_check.abstract_batch(learner, phase.config, phase.batch_size, placed.mesh)
            held_out = compile_check.abstract_held_out(learner, config, placed.mesh)
            finding = compile_check.compile_phase(program, phase, shapes, held_out, hardware.CHIPS["v5e"])
            flops.append(finding.counts.flops)
            trains = placed.program(config.train.num_steps).compiled(placed.work(0).batch)
            assert compiled_text.count(trains.as_text()) == finding.counts
    batch = placed.task.stream.batch(0)
    batch["example_ids"] = batch["example_ids"] * 0 + 1  # every position computed, as the program does
    batch["masked_weights"] = batch["masked_weights"] * 0 + 1
    assert flops[1] == pytest.approx(flops[0])
    assert flops[0] == pytest.approx(placed.task.learner.flops(batch), rel=0.1)
    made = jax.eval_shape(program.make_state, {})
    assert finding.need.parameters == sum(4 * leaf.size for leaf in jax.tree.leaves(made.params))
    assert finding.need.parameters == forecast.bytes_per_device(program.state_shapes.params)


def test_a_mesh_is_made_of_the_devices_that_are_given():
    devices = jax.devices() * 4
    with pytest.raises(ConfigError, match="does not fit 4 device"):
        sharding.make_mesh(MeshConfig(data=-1, fsdp=3), devices)
    assert sharding.make_mesh(MeshConfig(), jax.devices()[:1]).size == 1


def test_a_program_that_the_compiler_finds_too_large_does_not_fit(config):
    class TooLarge:
        def compiled(self, batch, step):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: temporaries (20G) exceed available HBM (15.75G).")

    mesh, device = sharding.make_mesh(config.mesh), hardware.CHIPS["v5e"]
    (phase,) = plan_phases(config.data, config.train.batch_size)
    finding = compile_check.compile_phase(TooLarge(), phase, {}, {}, device)
    line = compile_check.describe(finding, device, "bfloat16")[-1]
    assert "does not fit temporaries (20G) exceed available HBM (15.75G): raise train.grad_accumulation_steps" in line
    config.model.vocab_size = 300
    assert not compile_check.numbers("v5e:1x1", config, mesh, finding, device)["fits"]


def test_the_longest_ceiling_is_told():
    moved = compiled_text.Collective(count=1, bytes=3e9, sent=4e9)
    counts = compiled_text.Counts(197e12, 2 * 819e9, {"all-gather": moved}, {}, 0)
    seconds = compile_check.ceilings(counts, hardware.CHIPS["v5e"], "bfloat16")
    assert seconds == pytest.approx({"arithmetic": 1, "memory": 2, "interconnect": 0.02})


@pytest.mark.parametrize(
    ("topology", "module", "extra"),
    [("v5e:2x2", "libtpu", "tpu-aot"), ("gpu:h200", "jax_plugins.xla_cuda13", "gpu-aot")],
)
def test_without_the_extra_a_sentence_names_it(monkeypatch, topology, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"--topology={topology} needs the extra {extra}: .*setup.sh {extra}"):
        hardware.topology(topology)


@pytest.mark.parametrize("topology", ["v9:4x4", "v5e", "gpu:v5e:4x4", "h200", "gpu:h200:2x2", "v5e:16by16", ""])
def test_what_is_no_topology_gets_examples(topology):
    with pytest.raises(ConfigError, match="is not known: give one such as v5e:16x16"):
        hardware.topology(topology)


def test_a_step_is_compiled_for_tpus_that_are_not_there(tmp_path):
    pytest.importorskip("libtpu", reason="needs the extra tpu-aot")
    done = check("--topology=v5e:2x2", f"--output={tmp_path}/found.json")
    assert done.returncode == 0, done.stderr
    assert "mesh data 2 × fsdp 2 × tensor 1" in done.stdout
    assert "XLA's own products" in done.stdout
    (row,) = json.loads((tmp_path / "found.json").read_text())
    assert row["fits"]
    assert row["collectives"]["all-gather"]["count"] > 0
    # A quarter of what one device would do: 4 rows × 32 tokens.
    dense, head = 6 * (12 * 32 * 32) * 128, 6 * (32 * 32 + 32 * 128) * 4 * 8
    assert row["flops"] == pytest.approx(dense + 12 * 32 * 32 * 32 * 4 + head, rel=0.1)
    done = check("--topology=v5e:3x5")
    assert done.returncode == 2
    assert "--topology=v5e:3x5 is not known to libtpu" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gradient_is_added_up_in_parts_where_its_parameter_is_cut(tmp_path):
    """XLA has to be told: left alone, every device of `fsdp` gets the sum of all of it."""
    pytest.importorskip("libtpu", reason="needs the extra tpu-aot")
    size, words = 256, 4096
    done = check(
        "--topology=v5e:8x8",
        "--config.mesh.fsdp=16",
        f"--config.model.hidden_size={size}",
        f"--config.model.vocab_size={words}",
        "--config.train.batch_size=256",
        "--config.train.grad_accumulation_steps=1",
        f"--output={tmp_path}/found.json",
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "found.json").read_text())
    # Attention, feed-forward and the word table in the head, float32; the table's lookup is summed another way.
    matrices = 4 * (12 * size * size + words * size)
    found = row["collectives"]
    assert found["reduce-scatter"]["bytes"] == pytest.approx(matrices, rel=0.15)
    assert found["all-reduce"]["bytes"] < matrices
