"""What is seen on meshes of eight simulated devices, as JSON; a program of its own, since devices are made once.

python -m tests.experiments.eight_devices CORPUS FOLDER
"""

import collections
import json
import pathlib
import re
import sys

import jax
import numpy as np

from bert_jax import sharding
from bert_jax.errors import ConfigError
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.pretraining import PretrainingConfig, set_up
from bert_jax.training.checkpoints import Checkpoints
from bert_jax.training.run import make_run_program
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


def shares(run) -> dict[str, float]:
    """How large a part of each array lies on each device."""
    with jax.set_mesh(run.mesh), sharding.rules():
        state = make_run_program(run.task(), run.config).make_state()
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path((state.params, state.opt_state)):
        parts = {shard.data.size / leaf.size for shard in leaf.addressable_shards}
        assert len(parts) == 1
        found[jax.tree_util.keystr(path)] = parts.pop()
    return found


def gathered(run) -> list[list[int]]:
    """The shapes that the training step gathers."""
    with jax.set_mesh(run.mesh), sharding.rules():
        text = make_run_program(run.task(), run.config).compiled(run.work(0).batch).as_text()
    lines = [line for line in text.split("\n") if re.search(r" all-gather(-start)?\(", line)]
    shapes = [re.findall(r"\w+\[([\d,]*)\]", line.split(" all-gather")[0]) for line in lines]
    return [[int(size) for size in shape.split(",") if size] for line in shapes for shape in line]


def resumed(corpus: str, folder: pathlib.Path) -> list[str]:
    """What went wrong when one run went on from 8 to 4 to 1 to 8 devices."""
    seen, problems = [], []
    for count, mesh in [(8, MeshConfig(1, 8)), (4, MeshConfig(2, 1, 2)), (1, MeshConfig()), (8, MeshConfig(2, 2, 2))]:
        run = meshes.on_devices(small(corpus), mesh, jax.devices()[:count])
        with jax.set_mesh(run.mesh), sharding.rules():
            program = make_run_program(run.task(), run.config)
            checkpoints = Checkpoints(folder, 1, {})
            state = checkpoints.restore_latest(program.state_shapes) or program.make_state()
            if seen and not jax.tree.all(jax.tree.map(np.array_equal, seen[-1], jax.device_get(state))):
                problems.append(f"another state on {count} devices")
            work = run.work(int(state.step))
            if not np.array_equal(work.batch["example_keys"], run.batches.batch(int(state.step))["example_keys"]):
                problems.append(f"other examples on {count} devices")
            state, _ = program.train_step(state, work.batch)
            seen.append(jax.device_get(state))
            checkpoints.save(int(state.step), state)
            checkpoints.wait()
            checkpoints.close()
    assert int(seen[-1].step) == 4
    return problems


def refused(config: PretrainingConfig) -> str:
    try:
        set_up(config)
    except ConfigError as error:
        return str(error)
    return ""


def main(corpus: str, folder: str) -> None:
    config, seen = small(corpus), collections.defaultdict(list)
    alone = meshes.measure(meshes.on_one_device(config), STEPS)
    for mesh, parts in meshes.cases(8):
        measured = meshes.measure(meshes.on_mesh(config, mesh, parts), STEPS)
        seen["differences"].append(measured.difference(alone))
    mixed, tensor = (meshes.on_mesh(config, mesh) for mesh in (MeshConfig(-1, 2, 2), MeshConfig(2, 1, 4)))
    seen["shares"], seen["uneven_shares"], seen["gathered"] = shares(mixed), shares(tensor), gathered(tensor)
    seen["resumed"] = resumed(corpus, pathlib.Path(folder))
    wrong = small(corpus)
    wrong.mesh, wrong.train.batch_size, wrong.model.num_heads = MeshConfig(-1, 1, 4), 15, 2
    seen["refused"] = refused(wrong)
    print(json.dumps(seen))


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_default_matmul_precision", "highest")
    main(*sys.argv[1:])
