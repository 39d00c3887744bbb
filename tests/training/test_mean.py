"""Runs with `optimizer.mean_decay`, and means of checkpoints."""

import jax
import numpy as np
import pytest

from bert_jax import load, sharding
from bert_jax.errors import CheckpointError
from bert_jax.tasks.pretraining import Pretraining, pretrain
from bert_jax.training.run import prepare
from bert_jax.training.workdir.averaging import LastParams
from bert_jax.training.workdir.checkpoints import SavedParams
from bert_jax.training.workdir.metrics import read_metrics
from tests.experiments.scripts import Scripts
from tests.tasks.test_pretraining import results

DECAY = 0.8


@pytest.fixture
def averaging(config):
    """A run of six steps with all that the mean has to live with."""
    config.optimizer.mean_decay = DECAY
    config.optimizer.warmup_steps = 2
    config.train.grad_accumulation_steps, config.train.freeze, config.train.on_bad_step = 2, "^bert/embeddings", "skip"
    config.train.num_steps, config.train.checkpoint_every, config.train.keep_checkpoints = 6, 1, 6
    config.eval.every, config.eval.best_by = 3, "mlm_loss"
    return config


def by_name(params):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def test_what_is_scored_and_loaded_is_the_mean(averaging, tmp_path):
    scores = pretrain(averaging, tmp_path / "run")
    raw = [by_name(load(tmp_path / "run", step=step, mean=False).params) for step in range(1, 7)]
    means = by_name(load(tmp_path / "run", step=6).params)
    shares = (1 - DECAY) * DECAY ** np.arange(5.0, -1, -1) / (1 - DECAY**6)
    moved = 0
    for name, mean in means.items():
        steps = np.stack([params[name] for params in raw]).astype(np.float64)
        np.testing.assert_allclose(mean, np.tensordot(shares, steps, 1), rtol=1e-5, atol=1e-8, err_msg=name)
        moved += not np.array_equal(mean, raw[-1][name])
        if "embeddings" in name:
            np.testing.assert_array_equal(mean, raw[-1][name])
    assert moved == len([name for name in means if "embeddings" not in name])
    placed = prepare(Pretraining(), averaging)
    with jax.set_mesh(placed.mesh), sharding.rules():
        program = placed.program(6)
        best = load(tmp_path / "run")
        again = placed.evaluate(program, best.params, best.step or 0)
    assert scores["step"] == best.step
    assert again["eval/mlm_loss"] == scores["eval/mlm_loss"]
    assert SavedParams(tmp_path / "run" / "checkpoints").fingerprint != (
        SavedParams(tmp_path / "run" / "checkpoints", mean=False).fingerprint
    )


def test_a_run_with_a_mean_resumes_bit_for_bit_and_another_starts_from_its_mean(averaging, tmp_path):
    pretrain(averaging, tmp_path / "straight")
    for stop in (1, 4, None):
        averaging.train.stop_after = stop
        pretrain(averaging, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")
    averaging.train.init_from, averaging.optimizer.learning_rate = str(tmp_path / "run"), 1e-30
    pretrain(averaging, tmp_path / "next")
    first, *_ = (row for row in read_metrics(tmp_path / "next") if "eval/mlm_loss" in row)
    best = min(row["eval/mlm_loss"] for row in read_metrics(tmp_path / "run") if "eval/mlm_loss" in row)
    assert (first["step"], first["eval/mlm_loss"]) == (0, best)


def test_the_mean_of_the_last_checkpoints(averaging, tmp_path):
    """Of the parameters as they are loaded; it is written as a model that opens, and that a run can start from."""
    averaging.optimizer.mean_decay = 0.0
    pretrain(averaging, tmp_path / "run")
    steps = [by_name(load(tmp_path / "run", step=step).params) for step in range(1, 7)]
    for step, chosen in ((None, steps[3:6]), (5, steps[2:5])):
        mean = load(tmp_path / "run", step=step, last=3)
        for name, leaf in by_name(mean.params).items():
            expected = np.mean([params[name] for params in chosen], axis=0, dtype=np.float64)
            np.testing.assert_allclose(leaf, expected, rtol=1e-7, atol=1e-12)
    (tmp_path / "scripts").mkdir()
    with Scripts(tmp_path / "scripts") as scripts:
        source, target = f"--from={tmp_path / 'run'}", f"--to=bert_jax:{tmp_path / 'mean'}"
        code, said = scripts.run("convert_checkpoint", source, target, "--last=3", "--step=5")
    assert code == 0, said
    jax.tree.map(np.testing.assert_array_equal, load(tmp_path / "mean").params, mean.params)
    averaging.train.init_from, averaging.train.num_steps, averaging.optimizer.warmup_steps = (
        str(tmp_path / "mean"),
        1,
        0,
    )
    pretrain(averaging, tmp_path / "next")
    checkpoints = tmp_path / "run" / "checkpoints"
    assert LastParams(checkpoints, 3).averaged == [4, 5, 6]
    assert LastParams(checkpoints, 1).averaged == [6]
    with pytest.raises(CheckpointError, match=r"no mean of the last 7 checkpoints in .*, which has 6: keep more"):
        load(tmp_path / "run", last=7)
    with pytest.raises(CheckpointError, match="which has 2 up to step 2"):
        load(tmp_path / "run", step=2, last=3)
