"""Runs that go on from a checkpoint of another one."""

import copy
import json
import shutil

import pytest

from bert_jax import load
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.reporting import write_report
from bert_jax.reporting.run_record import read_run
from bert_jax.tasks.pretraining import Pretraining, PretrainingConfig, open_batches, pretrain
from bert_jax.training.run import Options, check_config, prepare
from bert_jax.training.workdir.checkpoints import Checkpoints
from bert_jax.training.workdir.metrics import read_metrics
from tests.tasks.test_pretraining import results, shrink

CONSTANT = {"schedule": "wsd", "warmup_steps": 2, "decay_ratio": 0.0}


@pytest.fixture(scope="module")
def origin(corpus, corpus_path, tmp_path_factory):
    """A run of 12 steps at a constant rate, in a ramp until step 6; its config, and its folder."""
    config = run_config(corpus_path)
    folder = tmp_path_factory.mktemp("origin") / "run"
    pretrain(copy.deepcopy(config), folder, Options(command="the first"))
    return config, folder


def run_config(corpus_path):
    shrink(config := PretrainingConfig(), corpus_path)
    for name, value in CONSTANT.items():
        setattr(config.optimizer, name, value)
    config.optimizer.learning_rate, config.optimizer.mean_decay = 1e-3, 0.9
    config.data.ramp_from, config.data.ramp_increment, config.data.ramp_steps = 4, 4, 6
    config.train.on_bad_step, config.train.keep_checkpoints = "skip", 9
    config.eval.every, config.eval.best_by = 4, "mlm_loss"
    return config


def forked(origin, step, **changes):
    """The config of a fork, and the folder of the run."""
    config = copy.deepcopy(origin[0])
    config.train.fork_from, config.train.fork_step = str(origin[1]), step
    for name, value in changes.items():
        section, _, field = name.partition("__")
        setattr(getattr(config, section), field, value)
    return config


def saved(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize("step", [4, 8])  # 4: inside the ramp
def test_with_the_same_schedule_it_is_the_straight_run(origin, tmp_path, step):
    """To the bit, with its history, where it is stopped, and where the other run is gone by then."""
    shutil.copytree(origin[1], tmp_path / "origin")
    config = forked((origin[0], tmp_path / "origin"), step, train__stop_after=step + 1)
    pretrain(copy.deepcopy(config), tmp_path / "fork")
    assert saved(tmp_path / "fork") == [step, step + 1]
    (tmp_path / "origin").rename(tmp_path / "elsewhere")
    config.train.stop_after = None
    pretrain(config, tmp_path / "fork")
    assert results(tmp_path / "fork") == results(origin[1])
    at = [
        json.loads((folder / f"checkpoints/{step}/about/metadata").read_text())
        for folder in (tmp_path / "fork", origin[1])
    ]
    assert at[0]["scores"] == at[1]["scores"] != {}
    assert at[0]["best"]["step"] == step  # the first of its own checkpoints


def test_it_decays_from_there_as_if_it_had_meant_to(origin, tmp_path):
    changes = {"optimizer__phases": "8: warmup_steps=0 decay_ratio=1", "train__num_steps": 11}
    config = forked(origin, 8, **changes)
    pretrain(copy.deepcopy(config), tmp_path / "fork")
    config.train.fork_from, config.train.fork_step = "", None
    pretrain(config, tmp_path / "straight")
    assert results(tmp_path / "fork") == results(tmp_path / "straight")
    rates = [row["train/learning_rate"] for row in read_metrics(tmp_path / "fork") if "train/loss" in row]
    assert rates[7:] == pytest.approx([1e-3, 1e-3, 1e-3 * (1 - 3**-0.5), 1e-3 * (1 - (2 / 3) ** 0.5)])


def test_a_kill_before_its_first_checkpoint_forks_again(origin, tmp_path, monkeypatch):
    save = Checkpoints.save

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", killed)
    config = forked(origin, None, train__num_steps=13)
    with pytest.raises(KeyboardInterrupt):
        pretrain(copy.deepcopy(config), tmp_path / "fork")
    assert saved(tmp_path / "fork") == []
    assert json.loads((tmp_path / "fork/config.json").read_text())["config"]["train"]["fork_step"] == 12
    config.train.fork_step = 8
    with pytest.raises(ConfigError, match="fork_step was 12 and is 8"):
        pretrain(copy.deepcopy(config), tmp_path / "fork")
    monkeypatch.setattr(Checkpoints, "save", save)
    config.train.fork_step = None
    pretrain(copy.deepcopy(config), tmp_path / "fork")
    assert [row["step"] for row in read_metrics(tmp_path / "fork") if "train/loss" in row] == list(range(1, 14))
    monkeypatch.undo()
    (tmp_path / "fork/checkpoints").rename(tmp_path / "lost")
    with pytest.raises(
        ConfigError, match=r"no checkpoint, but run\.json tells of 2 earlier starts, and a checkpoint of"
    ):
        pretrain(config, tmp_path / "fork")


def test_forks_of_forks_know_where_they_come_from(origin, tmp_path):
    before = {file: file.read_bytes() for file in origin[1].rglob("*") if file.is_file()}
    first = forked(origin, 4, train__num_steps=6, data__phases="5: mask_rate=0.3 source_exponent=0.5")
    pretrain(copy.deepcopy(first), tmp_path / "first", Options(command="the second"))
    second = copy.deepcopy(first)
    second.train.fork_from, second.train.fork_step, second.train.num_steps = str(tmp_path / "first"), 6, 7
    pretrain(copy.deepcopy(second), tmp_path / "second", Options(command="the third"))
    assert before == {file: file.read_bytes() for file in origin[1].rglob("*") if file.is_file()}
    run = read_run(tmp_path / "second")
    assert [(start["step"], start["command"]) for start in run.starts] == [
        (0, "the first"),
        (4, "the second"),
        (6, "the third"),
    ]
    assert run.forks == {4: str(origin[1]), 6: str(tmp_path / "first")}
    assert run.restarts == []
    assert run.device_hours is not None
    report = write_report(tmp_path / "second")
    assert f"forked from `{tmp_path / 'first'}` after step 6" in report
    assert f"Forked from `{origin[1]}` after step 4" in report
    assert [len(open_batches(tmp_path / "second").batch(step)["token_ids"]) for step in (0, 6)] == [4, 8]
    assert load(tmp_path / "second", step=6).step == 6


def refused(config, folder, message, error=ConfigError):
    with pytest.raises(error, match=message):
        pretrain(config, folder)
    assert not folder.exists()


def test_what_decides_about_the_steps_before_is_compared(origin, tmp_path):
    folder = tmp_path / "fork"
    refused(forked(origin, 8, train__seed=1), folder, r"train\.seed was 0 and is 1\. Give it the same, or start from")
    refused(forked(origin, 8, model__num_layers=1), folder, "num_layers was 2 and is 1")
    refused(forked(origin, 8, optimizer__mean_decay=0.5), folder, "mean_decay was 0.9 and is 0.5")
    refused(forked(origin, 8, data__mask_rate=0.3), folder, "mask_rate was 0.15 and is 0.3")
    refused(forked(origin, 8, data__phases="7: mask_rate=0.3"), folder, r"data\.phases was '' .*, before .*fork_step=8")
    refused(forked(origin, 6), folder, "no checkpoint of train.fork_step=6, only of 4, 8, 12; runs keep more")
    refused(forked(origin, 8, train__fork_from=str(tmp_path / "none")), folder, "fork_from=.*There is no folder")
    refused(forked(origin, 8, train__num_steps=8), folder, "num_steps=8 counts the steps before train.fork_step=8")
    refused(forked(origin, 8, train__num_steps=None, train__time_budget=9.0), folder, "needs the number of steps")
    with pytest.raises(ConfigError, match="fork_step has no effect"):
        check_config(Pretraining(), forked(origin, 8, train__fork_from=""))
    prepare(Pretraining(), forked(origin, 8, data__phases="8: mask_rate=0.3"))


def test_other_data_are_refused_before_the_fork_and_welcome_after_it(origin, corpus_path, tmp_path):
    shutil.copytree(corpus_path, tmp_path / "other")
    manifest = json.loads((tmp_path / "other/manifest.json").read_text())
    (tmp_path / "other/manifest.json").write_text(json.dumps(manifest | {"fingerprint": "another"}))
    other = str(tmp_path / "other")
    refused(forked(origin, 8, data__corpus=other), tmp_path / "fork", r"started on other data \(corpus was")
    prepare(Pretraining(), forked(origin, 8, data__phases=f"9: corpus={other}"))


def test_a_damaged_checkpoint_is_not_gone_on_from(origin, tmp_path):
    shutil.copytree(origin[1], tmp_path / "origin")
    file = max(
        (tmp_path / "origin/checkpoints/8/state").rglob("*"), key=lambda file: file.is_file() and file.stat().st_size
    )
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    config = forked((origin[0], tmp_path / "origin"), 8)
    with pytest.raises(CheckpointError, match=r"fork_from=.*/origin: the checkpoint of step 8 cannot be used"):
        pretrain(config, tmp_path / "fork")
    assert saved(tmp_path / "fork") == []
    assert saved(tmp_path / "origin") == [4, 8, 12]
