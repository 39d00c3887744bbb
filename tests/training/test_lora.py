"""Runs that learn adapters of low rank (`optimizer.lora_rank`)."""

import os
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from bert_jax import hashing, load
from bert_jax.errors import ConfigError
from bert_jax.tasks.pretraining import Pretraining, pretrain
from bert_jax.training.planning import forecast
from bert_jax.training.run import prepare
from bert_jax.training.workdir.checkpoints import SavedParams, read_params
from bert_jax.training.workdir.checksums import checksums
from bert_jax.training.workdir.metrics import read_metrics
from bert_jax.training.workdir.warm_start import WarmStart
from tests.optim.test_lora import by_name
from tests.tasks.test_pretraining import results
from tests.training.workdir.test_warm_start import make_config, plan

KERNEL = "bert/encoder/layer_1/attention/query_key_value/kernel"


@pytest.fixture(scope="module")
def source(corpus_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora") / "source"
    pretrain(make_config(corpus_path), folder)
    return folder


def make_adapted(corpus_path, source):
    config = make_config(corpus_path)
    config.train.init_from, config.optimizer.lora_rank, config.train.grad_norms_every = str(source), 4, 1
    config.optimizer.learning_rate = 1e-2
    return config


@pytest.fixture(scope="module")
def run(corpus_path, source, tmp_path_factory):
    """A run with remat and microbatches, and the same stopped and resumed."""
    folder, config = tmp_path_factory.mktemp("lora") / "run", make_adapted(corpus_path, source)
    config.model.remat, config.train.grad_accumulation_steps = True, 2
    pretrain(config, folder)
    config.train.stop_after = 3
    pretrain(config, folder.parent / "stopped")
    config.train.stop_after = None
    pretrain(config, folder.parent / "stopped")
    return folder


def saved_arrays(folder):
    """All parameters in the newest checkpoint as they are stored, by name."""
    state = ocp.PyTreeCheckpointer().restore(folder / "checkpoints" / "4" / "state")
    return by_name(state["params"])


def test_a_resumed_run_ends_bit_for_bit(run):
    assert results(run) == results(run.parent / "stopped")


def test_the_body_stays_and_adapters_pooler_and_heads_learn(run, source):
    stored, (_, base, _) = saved_arrays(run), read_params(source / "checkpoints")
    for name, value in by_name(base).items():
        stays = name.startswith("bert/") and "pooler" not in name
        assert np.array_equal(stored[name], value) == stays, name
    assert all(np.any(value) for name, value in stored.items() if name.startswith("lora/"))
    logged = [row for row in read_metrics(run) if "train/loss" in row]
    assert all(row["train/grad_norm/embeddings"] == 0 < row["train/grad_norm/layer_1"] for row in logged)
    assert not [name for name in logged[0] if "lora" in name or "scale" in name]


def test_what_is_opened_is_merged(run):
    model, stored = load(run), saved_arrays(run)
    a, b, scale = (stored[f"lora/{KERNEL}/{part}"] for part in ("a", "b", "scale"))
    assert scale == 16 / 4
    found = by_name(model.params)
    assert not [name for name in found if name.startswith("lora")]
    update = np.einsum("er,rhqd->ehqd", a, b) * scale
    assert np.abs(update).max() > 1e-3
    np.testing.assert_allclose(found[KERNEL], stored[KERNEL] + update, atol=1e-6)
    assert model.fill_mask("the [MASK] end.")


def test_a_mean_of_adapters_is_merged(corpus_path, source, tmp_path):
    """The body, which stays as it is, has none."""
    config = make_adapted(corpus_path, source)
    config.optimizer.mean_decay = 0.5
    pretrain(config, tmp_path / "run")
    state = ocp.PyTreeCheckpointer().restore(tmp_path / "run" / "checkpoints" / "4" / "state")
    stored, mean = by_name(state["params"]), by_name(state["opt_state"]["mean"])
    a, b = (mean[f"lora/{KERNEL}/{part}"] for part in "ab")
    assert np.abs(a - stored[f"lora/{KERNEL}/a"]).max() > 1e-4
    assert mean.get(KERNEL) is None
    expected = stored[KERNEL] + stored[f"lora/{KERNEL}/scale"] * np.einsum("er,rhqd->ehqd", a, b)
    found = by_name(load(tmp_path / "run").params)
    np.testing.assert_allclose(found[KERNEL], expected, atol=1e-6)
    np.testing.assert_array_equal(found["mlm/bias"], mean["mlm/bias"])
    raw = by_name(load(tmp_path / "run", mean=False).params)
    np.testing.assert_array_equal(raw["mlm/bias"], stored["mlm/bias"])


def test_what_is_exported_is_merged(run, tmp_path):
    model, stored = load(run), saved_arrays(run)
    model.save_huggingface(tmp_path)
    exported = load(tmp_path)
    a, b, scale = (stored[f"lora/{KERNEL}/{part}"] for part in ("a", "b", "scale"))
    expected = stored[KERNEL] + scale * np.einsum("er,rhqd->ehqd", a, b)
    np.testing.assert_allclose(by_name(exported.params)[KERNEL], expected, atol=1e-6)
    found, same = (
        np.array([[guess.probability for guess in x.fill_mask("the [MASK] end.")[0]]]) for x in (exported, model)
    )
    np.testing.assert_allclose(found, same, rtol=1e-6)


def test_a_run_starts_from_it_as_from_any_other(run, corpus_path):
    config = make_config(corpus_path)
    config.train.init_from = str(run)
    program, warm = plan(config)
    assert (warm.new, warm.left) == ((), ())
    found, stored = warm.read(program.state_shapes.params), saved_arrays(run)
    adapted = 0
    for name, value in stored.items():
        if name.startswith("lora/"):
            continue
        if f"lora/{name}/a" in stored:
            a, b, scale = (stored[f"lora/{name}/{part}"].astype(np.float64) for part in ("a", "b", "scale"))
            value = value + scale * np.tensordot(a, b, 1)
            adapted += 1
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)
    assert adapted == 2 * 4
    assert found[KERNEL].sharding == by_name(program.state_shapes.params)[KERNEL].sharding


def test_its_fingerprint_is_that_of_all_arrays(run, source):
    """Of the checksums of the arrays as they are stored, adapters included; the names shown are the source's."""
    saved = SavedParams(run / "checkpoints")
    assert saved.shapes.keys() == SavedParams(source / "checkpoints").shapes.keys()
    of_arrays = checksums({name: np.asarray(value) for name, value in saved_arrays(run).items()})
    assert len(of_arrays) == len(saved.shapes) + 3 * 4 * 2
    assert saved.fingerprint == hashing.fingerprint(of_arrays)


def test_adapters_are_new_and_the_optimiser_holds_little(corpus_path, source):
    config = make_adapted(corpus_path, source)
    program = prepare(Pretraining(), config).program(4)
    warm = WarmStart.plan(config.train, program.state_shapes.params)
    assert len(warm.new) == 2 * 4 * 3
    assert warm.describe()[1] == "             new, at random: lora/bert/encoder (24 arrays)"
    shapes, learned = by_name(program.state_shapes.params), by_name(program.trained)
    count = sum(shape.size for name, shape in shapes.items() if learned[name])
    assert count < sum(shape.size for shape in shapes.values()) / 4
    means = [leaf for leaf in jax.tree.leaves(program.state_shapes.opt_state) if leaf.ndim]
    assert sum(leaf.size for leaf in means) == 2 * count
    assert 4 * 2 * count <= forecast.bytes_per_device(program.state_shapes.opt_state) < 4 * 2 * count + 100


def test_what_cannot_learn_is_refused(corpus_path, source, tmp_path):
    config = make_adapted(corpus_path, source)
    config.train.reinit_layers = 1
    with pytest.raises(ConfigError, match=r"^bert/encoder/layer_1/.* would start at random, and optimizer\.lora_rank"):
        pretrain(config, tmp_path / "run")
    config.train.reinit_layers, config.train.init_from = 0, ""
    with pytest.raises(ConfigError, match=r"without train\.init_from it starts at random"):
        pretrain(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


MESHES = """
import sys

import jax
import numpy as np

from bert_jax import sharding
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.pretraining import Pretraining
from bert_jax.training.placed import PlacedTask
from bert_jax.training.run import prepare
from bert_jax.training.workdir.warm_start import WarmStart
from tests.optim.test_lora import by_name
from tests.training.test_lora import KERNEL, make_adapted

jax.config.update("jax_num_cpu_devices", 8)
config = make_adapted(*sys.argv[1:])
config.mesh = MeshConfig(data=2, fsdp=2, tensor=2)
placed = prepare(Pretraining(), config)


def learn(mesh):
    here = PlacedTask(placed.task, config, mesh)
    with jax.set_mesh(mesh), sharding.rules():
        program = here.program(4)
        shapes = program.state_shapes.params
        state = program.make_state(WarmStart.plan(config.train, shapes).read(shapes))
        losses = []
        for step in range(3):
            state, metrics = program.train_step(state, here.work(step).batch)
            losses.append(float(metrics["loss"]))
        whole = by_name(program.merge(state.params))
        return losses, by_name(state.params), {name: np.asarray(value) for name, value in whole.items()}


losses, params, whole = learn(placed.mesh)
single, _, expected = learn(sharding.make_mesh(MeshConfig(), jax.devices()[:1]))
np.testing.assert_allclose(losses, single, rtol=2e-5)
for name, value in expected.items():
    np.testing.assert_allclose(whole[name], value, atol=2e-4, err_msg=name)
a, b = params[f"lora/{KERNEL}/a"], params[f"lora/{KERNEL}/b"]
assert np.abs(b).max() > 1e-3
assert a.addressable_shards[0].data.shape == (a.shape[0] // 2, 4)  # the width is split over fsdp
assert b.addressable_shards[0].data.shape == (4, b.shape[1] // 2, *b.shape[2:])  # the heads over tensor
"""


def test_eight_devices_learn_what_one_does(corpus_path, source):
    command = [sys.executable, "-c", MESHES, corpus_path, str(source)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
