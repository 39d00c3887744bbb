"""What is seen on meshes of eight simulated devices, as JSON; a program of its own, since devices are made once.

python -m tests.experiments.eight_devices CORPUS FOLDER
"""

import dataclasses
import json
import pathlib
import re
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from bert_jax import sharding
from bert_jax.errors import ConfigError
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.classification import Classification, ClassificationConfig
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig
from bert_jax.training.recheck import HardwareError, check_replicas
from bert_jax.training.run import check_config
from bert_jax.training.workdir.about import About
from bert_jax.training.workdir.checkpoints import Checkpoints, Preserved
from bert_jax.training.workdir.checksums import checksums
from bert_jax.training.workdir.fork import Fork
from experiments.benchmarks import meshes
from tests.tasks.test_pretraining import shrink

VOCABULARY = 302  # not a multiple of 4
STEPS = 6


def small(corpus: str) -> PretrainingConfig:
    config = PretrainingConfig()
    shrink(config, corpus)
    config.model.num_heads, config.model.vocab_size = 4, VOCABULARY
    config.train.batch_size, config.optimizer.learning_rate = 16, 1e-3
    return config


def shares(state) -> dict[str, float]:
    """How large a part of each array lies on each device."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path((state.params, state.opt_state)):
        parts = {shard.data.size / leaf.size for shard in leaf.addressable_shards}
        assert len(parts) == 1
        found[jax.tree_util.keystr(path)] = parts.pop()
    return found


def gathered(program, batch) -> list[list[int]]:
    """The shapes that the training step gathers."""
    lines = [
        line for line in program.compiled(batch).as_text().split("\n") if re.search(r" all-gather(-start)?\(", line)
    ]
    shapes = [re.findall(r"\w+\[([\d,]*)\]", line.split(" all-gather")[0]) for line in lines]
    return [[int(size) for size in shape.split(",") if size] for line in shapes for shape in line]


def unfinished(run, program, state) -> list[str]:
    """Which programs with collectives still run when the next one may begin."""

    def ready(tree):
        return all(leaf.is_ready() for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array))

    found, batch = [], run.work(0).batch
    with jax.set_mesh(run.mesh), sharding.rules():
        for _ in range(3):
            copy = jax.block_until_ready(jax.tree.map(jnp.copy, state))
            found += [] if ready(program.train_step(copy, batch)) else ["the training step"]
            held_out = next(run.held_out_batches())
            found += [] if ready(program.eval_step(state.params, held_out)) else ["the evaluation"]
    return found


def moved(state, corpus: str, folder: pathlib.Path) -> list[str]:
    """What went wrong when a state went from the mesh it lies on to 4 devices, to 1 and to 8."""
    problems, expected, step = [], jax.device_get(state), int(state.step)
    save(state, folder)
    for count, mesh in [(4, MeshConfig(2, 1, 2)), (1, MeshConfig()), (8, MeshConfig(1, 8))]:
        placed = meshes.on_devices(small(corpus), mesh, jax.devices()[:count])
        with jax.set_mesh(placed.mesh), sharding.rules():
            checkpoints = Checkpoints(folder, Preserved(1), {})
            state = checkpoints.restore_latest(placed.program(placed.config.train.num_steps).state_shapes)
            checkpoints.close()
        if not jax.tree.all(jax.tree.map(np.array_equal, expected, jax.device_get(state))):
            problems.append(f"another state on {count} devices")
        batch, expected_batch = placed.work(step).batch, placed.task.stream.batch(step)
        if not np.array_equal(batch["example_keys"], expected_batch["example_keys"]):
            problems.append(f"other examples on {count} devices")
        shutil.rmtree(folder)
        save(state, folder)
    return problems


def probed(corpus: str, folder: pathlib.Path) -> list[float]:
    """How far the features of a probe and its scores on eight devices are from those on one."""
    file, words = folder / "probe.tsv", ("end", "and")
    file.write_text("text\tlabel\n" + "".join(f"the {words[i % 2]} {i}\t{i % 2}\n" for i in range(80)))
    config, found = small(corpus), []
    config.eval.probes = f"words={file}"
    for mesh in (MeshConfig(), MeshConfig(2, 2, 2)):
        placed = meshes.on_devices(config, mesh, jax.devices()[: 1 if mesh.fsdp == 1 else 8])
        with jax.set_mesh(placed.mesh), sharding.rules():
            program = placed.program(STEPS)
            params = program.make_state({}).params
            features = placed.features(program, params, placed.task.probes[0].rows, 0)
            found.append((features, placed.evaluate(program, params, 0)["eval/probe_words_accuracy"]))
    (one, accuracy), (eight, other) = found
    assert np.abs(one).max() > 0.1
    return [float(np.abs(one - eight).max()), abs(accuracy - other)]


def changing(corpus: str, folder: pathlib.Path) -> list[float]:
    """How far a run in a ramp, with a mean, is from that on one device, in losses and in the scores of the mean.

    And in how many arrays the state that eight devices fork from one differs from it.
    """
    config = small(corpus)
    config.data.ramp_from, config.data.ramp_steps, config.train.grad_accumulation_steps = 8, 3, 2
    config.optimizer.mean_decay, config.train.on_bad_step = 0.9, "skip"
    found = []
    for mesh, count in ((MeshConfig(), 1), (MeshConfig(-1, 2, 2), 8)):
        placed = meshes.on_devices(config, mesh, jax.devices()[:count])
        seen = meshes.measure(placed, STEPS)
        with jax.set_mesh(placed.mesh), sharding.rules():
            found.append((seen, placed.evaluate(seen.program, seen.state.scored, STEPS)["eval/mlm_loss"]))
    (one, score), (eight, other) = found
    sums = checksums(one.state)
    save(one.state, folder / "forked" / "checkpoints")
    with jax.set_mesh(placed.mesh), sharding.rules():
        read = Fork(folder / "forked", STEPS, About(sums, {}), [], {}).read(eight.program.state_shapes)
        forked = checksums(read)
    return [eight.difference(one), abs(other - score) / score, sum(forked[name] != sums[name] for name in sums)]


def classified(corpus: str, folder: pathlib.Path) -> list[float]:
    """How far a classifier's losses and its held-out scores on eight devices are from those on one."""
    config = ClassificationConfig()
    config.model = dataclasses.replace(small(corpus).model, vocab_size=None)
    config.train.num_steps, config.train.batch_size, config.optimizer.learning_rate = STEPS, 8, 1e-3
    config.data.sequence_length = 64
    config.data.tokenizer = f"{corpus}/tokenizer"
    config.data.train = config.data.validation = str(folder / "labelled.tsv")
    rows = (f"the {('end', 'and')[i % 2]} {i}\t{('good', 'bad', 'both')[i % 3]}\n" for i in range(200))
    pathlib.Path(config.data.train).write_text("text\tlabel\n" + "".join(rows))
    found = []
    for mesh, count in ((MeshConfig(), 1), (MeshConfig(8), 8), (MeshConfig(2, 2, 2), 8)):
        placed = meshes.on_devices(config, mesh, jax.devices()[:count], Classification())
        seen = meshes.measure(placed, STEPS)
        with jax.set_mesh(placed.mesh), sharding.rules():
            scores = placed.evaluate(seen.program, seen.state.params, 0)
        found.append(seen.losses + [scores[f"eval/label_{name}"] for name in ("loss", "accuracy", "macro_f1")])
    return [float(np.abs(np.subtract(one, found[0])).max()) for one in found[1:]]


def of_today(corpus: str) -> list[float]:
    """How far the losses of other kinds of models on eight devices are from those on one."""
    one = {"positions": "rotary", "feed_forward": "gated", "norm_position": "pre", "first_norm": False}
    one |= {"num_kv_heads": 2, "local_window": 8, "query_key_norm": True, "head_transform": "all", "norm_bias": False}
    other = {"positions": "alibi", "norm": "rms", "activation": "silu", "num_token_types": 0, "attention_bias": False}
    other |= {"tied_output": False, "output_bias": False, "logit_cap": 5.0, "local_window": 40, "global_every": 0}
    found = []
    for changes in (one, other):
        config = small(corpus)
        config.model = dataclasses.replace(config.model, **changes)
        assert config.model.problems() == []
        alone = meshes.measure(meshes.on_one_device(config), STEPS)
        cut = meshes.measure(meshes.on_mesh(config, MeshConfig(2, 2, 2)), STEPS)
        found.append(cut.difference(alone))
    return found


def save(state, folder: pathlib.Path) -> None:
    checkpoints = Checkpoints(folder, Preserved(1), {})
    checkpoints.save(int(state.step), state, checksums(state))
    checkpoints.wait()
    checkpoints.close()


def refused(config: PretrainingConfig) -> str:
    try:
        check_config(Pretraining(), config)
    except ConfigError as error:
        return str(error)
    return ""


def with_a_wrong_copy(state) -> list[str]:
    """What is said of a state, and of the same state with one bit changed in one of its copies."""
    mesh, found = jax.tree.leaves(state.params)[0].sharding.mesh, []
    with jax.set_mesh(mesh), sharding.rules():
        for changes in ({}, {5: 1.0}):
            everywhere = NamedSharding(mesh, PartitionSpec())
            copies = [jax.device_put(jnp.full(3, changes.get(i, 0.0)), d) for i, d in enumerate(mesh.devices.flat)]
            array = jax.make_array_from_single_device_arrays((3,), everywhere, copies)
            try:
                check_replicas({"state": state, "copied": array}, 7)
            except HardwareError as error:
                found.append(str(error))
            else:
                found.append("")
    return found


def main(corpus: str, folder: str) -> None:
    config = small(corpus)
    alone = meshes.measure(meshes.on_one_device(config), STEPS)
    runs = [meshes.on_mesh(config, *case) for case in meshes.cases(8)]
    found = [meshes.measure(run, STEPS) for run in runs]
    _, _, tensor, mixed, _ = found
    wrong = small(corpus)
    wrong.mesh, wrong.train.batch_size, wrong.model.num_heads = MeshConfig(-1, 1, 4), 15, 2
    seen = {
        "differences": [one.difference(alone) for one in found],
        "mixed_shares": shares(mixed.state),
        "tensor_shares": shares(tensor.state),
        "gathered": gathered(tensor.program, runs[2].work(0).batch),
        "unfinished": unfinished(runs[3], mixed.program, mixed.state),
        "moved": moved(mixed.state, corpus, pathlib.Path(folder) / "checkpoints"),
        "refused": refused(wrong),
        "replicas": with_a_wrong_copy(mixed.state),
        "classified": classified(corpus, pathlib.Path(folder)),
        "of_today": of_today(corpus),
        "probed": probed(corpus, pathlib.Path(folder)),
        "changing": changing(corpus, pathlib.Path(folder)),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_default_matmul_precision", "highest")
    main(*sys.argv[1:])
