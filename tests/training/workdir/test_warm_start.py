"""Runs whose parameters start from another run's checkpoint (`train.init_from`)."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import flax.traverse_util
import jax
import numpy as np
import pytest

from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.model.composite import layer_of
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig, pretrain
from bert_jax.training.config import TrainConfig
from bert_jax.training.run import Options, prepare
from bert_jax.training.workdir.about import About
from bert_jax.training.workdir.checkpoints import read_params
from bert_jax.training.workdir.metrics import read_metrics
from bert_jax.training.workdir.warm_start import WarmStart, open_start
from tests.tasks.test_pretraining import results, shrink


def make_config(corpus_path: str) -> PretrainingConfig:
    """A run of four steps, the first of rate 0."""
    config = PretrainingConfig()
    shrink(config, corpus_path)
    config.train.num_steps, config.train.checkpoint_every, config.eval.every = 4, 2, 4
    config.optimizer.learning_rate, config.optimizer.warmup_steps = 1e-3, 2
    return config


@pytest.fixture(scope="module")
def source(corpus_path, tmp_path_factory):
    """A finished run on words alone: it has neither a pooler nor the head `nsp`."""
    config, folder = make_config(corpus_path), tmp_path_factory.mktemp("source") / "run"
    config.data.examples, config.train.seed = "full_sentences", 7
    pretrain(config, folder)
    return folder


@pytest.fixture
def config(corpus_path, source):
    """A run with sentence pairs that starts from it."""
    config = make_config(corpus_path)
    config.train.init_from = str(source)
    return config


def by_name(tree):
    return flax.traverse_util.flatten_dict(tree, sep="/")


def parameters(folder):
    """Those of the newest checkpoint, by name."""
    return by_name(read_params(folder / "checkpoints")[1])


def plan(config):
    """The run's functions, and where its parameters come from; without what the task checks first."""
    at_random = dataclasses.replace(
        config, train=dataclasses.replace(config.train, init_from="", init_skip="", reinit_layers=0)
    )
    program = prepare(Pretraining(), at_random).program(config.train.num_steps)
    return program, WarmStart.plan(config.train, program.state_shapes.params, layer_of=layer_of)


NEW = ("bert/pooler/dense/bias", "bert/pooler/dense/kernel", "nsp/dense/bias", "nsp/dense/kernel")


@pytest.mark.parametrize("path", ["", "checkpoints"])
def test_parameters_are_those_of_the_checkpoint_to_the_bit(config, source, path):
    config.train.init_from = str(source / path)
    program, warm = plan(config)
    assert warm.new == NEW
    assert warm.left == ()
    saved, random = parameters(source), by_name(program.make_state({}).params)
    state = program.make_state(warm.read(program.state_shapes.params))
    assert state.step == 0
    for name, found in by_name(state.params).items():
        np.testing.assert_array_equal(found, random[name] if name in NEW else saved[name], err_msg=name)
    word = "bert/embeddings/word"
    assert (saved[word] != random[word]).any()
    # The optimiser starts anew.
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(state.opt_state))


def test_what_is_taken_new_and_left_is_told(config, source):
    config.train.init_skip = "^mlm/(transform|norm)|embeddings/word"
    _, warm = plan(config)
    skipped = {name for name in parameters(source) if name.startswith(("mlm/transform", "mlm/norm"))}
    assert set(warm.left) == skipped | {"bert/embeddings/word"}
    assert set(warm.new) == {*NEW, *warm.left}
    assert set(warm.taken) == parameters(source).keys() - set(warm.left)
    assert warm.describe() == [
        f"start        bert ({len(warm.taken) - 1} arrays), mlm/bias from {source}, step 4",
        "             new, at random: bert (3 arrays), mlm (4 arrays), nsp/dense (2 arrays)",
        "             left there: bert/embeddings/word, mlm (4 arrays)",
    ]


def test_top_layers_and_the_pooler_start_at_random(config, source):
    """With another expression beside it."""
    config.train.reinit_layers, config.train.init_skip = 1, "^mlm/bias"
    program, warm = plan(config)
    again = {name for name in parameters(source) if name.startswith("bert/encoder/layer_1/")}
    assert len(again) == 12
    assert set(warm.new) == {*NEW, *again, "mlm/bias"}
    assert set(warm.left) == {*again, "mlm/bias"}
    assert "nsp/dense (2 arrays); layer_1, pooler by train.reinit_layers" in warm.describe()[1]
    # What is new is what a run from scratch begins with.
    random = by_name(program.make_state({}).params)
    state = by_name(program.make_state(warm.read(program.state_shapes.params)).params)
    for name in again:
        np.testing.assert_array_equal(state[name], random[name], err_msg=name)
    config.train.reinit_layers = 3
    with pytest.raises(ConfigError, match=r"train\.reinit_layers=3 is more than the model's 2 layers"):
        plan(config)


def test_a_body_without_a_pooler_has_only_layers_that_start_at_random(config, source):
    config.train.reinit_layers, config.model.pooling = 1, "mean"
    _, warm = plan(config)
    again = {name for name in parameters(source) if name.startswith("bert/encoder/layer_1/")}
    assert warm.reinit == ("layer_1",)
    assert set(warm.new) == {"nsp/dense/bias", "nsp/dense/kernel", *again}


def test_what_the_model_has_no_place_for_stays_there(config, source):
    config.model.num_layers = 1
    _, warm = plan(config)
    assert warm.left == tuple(name for name in parameters(source) if name.startswith("bert/encoder/layer_1/"))
    assert len(warm.left) == 12
    assert warm.new == NEW


def test_a_run_takes_them_says_so_and_needs_the_source_no_more(config, source, tmp_path, capfd):
    """What is resumed without it ends like a run that was never stopped."""
    shutil.copytree(source, tmp_path / "source")
    config.train.init_from = str(tmp_path / "source")
    pretrain(config, tmp_path / "straight")
    capfd.readouterr()
    config.train.stop_after = 1
    pretrain(config, tmp_path / "stopped")
    told = capfd.readouterr().err
    assert "starting, 4 steps in all\n" in told
    assert f"arrays), mlm (5 arrays) from {tmp_path}/source, step 4\n" in told
    assert "new, at random: bert/pooler/dense (2 arrays), nsp/dense (2 arrays)\n" in told
    saved, first = parameters(source), parameters(tmp_path / "stopped")
    for name, value in saved.items():
        np.testing.assert_array_equal(first[name], value, err_msg=name)  # the rate of step 1 is 0
    shutil.rmtree(tmp_path / "source")
    config.train.stop_after = None
    pretrain(config, tmp_path / "stopped")
    assert "resuming after step 1" in (told := capfd.readouterr().err)
    assert "at random" not in told
    assert results(tmp_path / "stopped") == results(tmp_path / "straight")
    about = json.loads((tmp_path / "stopped" / "run.json").read_text())
    assert about["data_fingerprints"]["init_from"] == open_start(source).fingerprint


def test_what_is_taken_is_told_by_a_dry_run(config, source, tmp_path, capsys):
    pretrain(config, tmp_path / "run", Options(dry_run=True))
    assert f"from {source}, step 4\n" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def check_refused(config, workdir, message):
    with pytest.raises((ConfigError, CheckpointError), match=message):
        pretrain(config, workdir)
    assert not workdir.exists()


def test_a_parameter_of_another_shape_is_refused(config):
    config.model.hidden_size = 16
    with pytest.raises(ConfigError) as refused:
        plan(config)
    told = str(refused.value)
    assert told.startswith(f"train.init_from={config.train.init_from}: bert/embeddings/layer_norm/bias (and 32 more) ")
    assert "[32]" in told
    assert "[16]" in told
    assert "train.init_skip" in told  # the way out


def test_parameters_of_another_shape_may_be_left_out(config):
    config.model.max_positions = 96
    with pytest.raises(ConfigError, match=r"bert/embeddings/position .*\[64, 32\].*\[96, 32\]"):
        plan(config)
    config.train.init_skip = "embeddings/position"
    _, warm = plan(config)
    assert set(warm.new) == {*NEW, "bert/embeddings/position"}
    assert warm.left == ("bert/embeddings/position",)


def test_another_model_is_refused_before_anything_is_written(config, tmp_path):
    config.model.hidden_size = 16
    check_refused(config, tmp_path / "run", r"train\.init_from=.*/run: .* another shape.*32.* there and .*16")


def test_a_checkpoint_without_anything_in_common_is_refused(config, tmp_path):
    config.train.init_skip = "^(bert|mlm)/"
    check_refused(config, tmp_path / "run", r"train\.init_from=.*/run .*no parameter")


def test_what_cannot_be_meant_is_refused(config, tmp_path):
    config.train.init_skip = "(mlm"
    check_refused(config, tmp_path / "run", r"train\.init_skip='\(mlm' is not a valid regular expression")
    config.train.init_skip, config.train.init_from = "mlm", ""
    check_refused(config, tmp_path / "run", r"train\.init_skip has no effect without train\.init_from")
    config.train.init_skip, config.train.reinit_layers = "", 1
    check_refused(config, tmp_path / "run", r"train\.reinit_layers has no effect without train\.init_from")
    config.train.reinit_layers, config.train.init_from = 0, str(tmp_path / "nothing")
    check_refused(config, tmp_path / "run", "There is no folder .*/nothing")
    assert WarmStart.plan(TrainConfig(), {}) is None


def test_another_vocabulary_is_refused(config, text_file, tmp_path):
    """Of the same size: ids would mean other words."""
    config.data.corpus = str(tmp_path / "corpus")
    prepare_corpus(
        f"text:{text_file}",
        config.data.corpus,
        vocab_size=300,
        lowercase=False,
        num_workers=1,
        validation_fraction=0.1,
        progress=lambda _: None,
    )
    check_refused(config, tmp_path / "run", r"another vocabulary .*train\.init_from=")


def test_a_damaged_array_is_refused(config, source, tmp_path):
    """By the checksum of what is read; an array that is not taken may be damaged."""
    shutil.copytree(source, tmp_path / "source")
    config.train.init_from = str(tmp_path / "source")
    file = tmp_path / "source" / "checkpoints" / "4" / "about" / "metadata"
    about = About.read(json.loads(file.read_text()))
    about.checksums["params/mlm/bias"] ^= 1
    file.write_text(json.dumps(about.as_json()))
    program, warm = plan(config)
    with pytest.raises(CheckpointError, match=r"step 4 does not match its checksums in params/mlm/bias$"):
        warm.read(program.state_shapes.params)
    config.train.init_skip = "^mlm/bias$"
    program, warm = plan(config)
    assert len(warm.read(program.state_shapes.params)) == len(warm.taken)


def test_files_that_are_empty_are_refused(config, source, tmp_path):
    shutil.copytree(source, tmp_path / "source")
    config.train.init_from = str(tmp_path / "source")
    # Which array is in which file differs from run to run: all that hold arrays are emptied.
    for file in (tmp_path / "source" / "checkpoints" / "4" / "state").glob("ocdbt.process_0/d/*"):
        file.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step 4 in .*/source/checkpoints"):
        pretrain(config, tmp_path / "run")
    assert read_metrics(tmp_path / "run") == []


def die():
    raise KeyboardInterrupt


def test_a_start_that_died_early_begins_again_from_the_same_parameters_or_not_at_all(config, source, tmp_path):
    """Before a run has a checkpoint of its own, it still depends on the other one."""
    shutil.copytree(source, tmp_path / "source")
    config.train.init_from = str(tmp_path / "source")
    with pytest.raises(KeyboardInterrupt):  # in the first step, before anything is saved
        pretrain(config, tmp_path / "run", Options(should_stop=die))
    shutil.rmtree(tmp_path / "source" / "checkpoints" / "4")  # the one before becomes the newest
    with pytest.raises(ConfigError, match=r"other data \(init_from was \w+, is \w+\)"):
        pretrain(config, tmp_path / "run")


SHARDED = """
import sys

import flax.traverse_util
import jax
import numpy as np

from bert_jax import sharding
from bert_jax.sharding import MeshConfig
from bert_jax.training.workdir.about import About
from bert_jax.training.workdir.checkpoints import read_params
from tests.training.workdir.test_warm_start import NEW, by_name, make_config, plan

jax.config.update("jax_num_cpu_devices", 4)
corpus, source = sys.argv[1:]
config = make_config(corpus)
config.train.init_from, config.mesh = source, MeshConfig(data=1, fsdp=2, tensor=2)
saved = by_name(read_params(f"{source}/checkpoints")[1])
with jax.set_mesh(sharding.make_mesh(config.mesh)), sharding.rules():
    program, warm = plan(config)
    wanted = by_name(program.state_shapes.params)
    given = warm.read(program.state_shapes.params)
    assert given.keys() == wanted.keys() - set(NEW)
    for name, leaf in given.items():
        assert leaf.sharding == wanted[name].sharding, name
        assert leaf.addressable_shards[0].data.shape == wanted[name].sharding.shard_shape(leaf.shape), name
        np.testing.assert_array_equal(leaf, saved[name], err_msg=name)
    assert given["bert/embeddings/word"].addressable_shards[0].data.size * 4 == saved["bert/embeddings/word"].size
    for name, leaf in by_name(program.make_state(given).params).items():
        assert leaf.sharding == wanted[name].sharding, name
        assert name in NEW or np.array_equal(leaf, saved[name]), name
"""


def test_on_four_devices_each_array_is_placed_as_the_model_is(source, corpus_path):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SHARDED, corpus_path, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
