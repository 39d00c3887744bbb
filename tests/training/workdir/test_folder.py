import json

import pytest

from bert_jax.errors import ConfigError, DamagedFileError
from bert_jax.training.workdir.folder import Workdir
from bert_jax.training.workdir.run_file import read_record


def write_record(folder, **values):
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"data_fingerprints": {}, "starts": []} | values))
    return Workdir(folder)


@pytest.mark.parametrize("starts", [[{"step": 0}, {"step": 5}], [{"step": 0, "first_checkpoint": 5}]])
def test_checkpoints_that_are_gone_are_told_and_the_run_does_not_start_over(starts, tmp_path):
    """Even where the folder is there: that of a disk that is not mounted is empty."""
    run = write_record(tmp_path / "run", starts=starts)
    run.checkpoints.mkdir()
    with pytest.raises(ConfigError, match=r"holds no checkpoint, but run.json tells of .* of step 5: bring"):
        run.check_checkpoints()
    (run.checkpoints / "7").mkdir()  # damaged perhaps, which is told elsewhere
    run.check_checkpoints()


def test_a_run_without_a_first_checkpoint_starts_over(tmp_path):
    run = write_record(tmp_path / "run", starts=[{"step": 0}])
    with pytest.raises(ConfigError, match=r"holds no checkpoint, but run.json tells of 1 earlier start: bring"):
        run.check_checkpoints()  # each start makes the folder
    run.checkpoints.mkdir()
    run.check_checkpoints()
    Workdir(tmp_path / "new").check_checkpoints()


def test_the_check_for_writing_touches_no_file_that_is_there(tmp_path):
    (tmp_path / ".writable").write_text("mine")
    (tmp_path / ".writable.partial").symlink_to(tmp_path / "other")
    Workdir(tmp_path).check_writable()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".writable", ".writable.partial"]
    assert (tmp_path / ".writable").read_text() == "mine"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "tokenizer/../../secret"])
def test_a_run_of_somebody_else_names_no_file_outside(name, tmp_path):
    (tmp_path / "secret").write_text("secret")
    run = write_record(tmp_path / "run", files=["labels.json", name])
    with pytest.raises(DamagedFileError, match="which is not a file inside"):
        run.files()


def test_a_record_of_another_form_is_a_sentence(tmp_path):
    for name, value in (("starts", [1]), ("starts", {}), ("files", [2]), ("scores", [{"name": "a"}]), ("versions", 1)):
        run = write_record(tmp_path / "run", **{name: value})
        with pytest.raises(DamagedFileError, match=rf"run.json is damaged \({name}"):
            read_record(run.path)


def test_what_a_killed_start_left_unfinished_goes_and_nothing_else(tmp_path):
    kept = ["a.partial", "lock-00001.json.0123456789abcdef.partial", "notes.txt"]
    for name in (*kept, "config.json.0123456789abcdef.partial"):
        (tmp_path / name).write_text("")
    Workdir(tmp_path).remove_unfinished()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_what_a_killed_start_left_in_a_checkpoint_goes(tmp_path):
    about = tmp_path / "checkpoints" / "12" / "about"
    about.mkdir(parents=True)
    for name in ("metadata", "metadata.0123456789abcdef.partial"):
        (about / name).touch()
    Workdir(tmp_path).remove_unfinished()
    assert [path.name for path in about.iterdir()] == ["metadata"]


def test_only_numbers_are_steps(tmp_path):
    run = Workdir(tmp_path)
    assert run.latest_step() is None
    for name in ("2", "10", "²", "٣", "12x", "-5", "011", "11.orbax-checkpoint-tmp"):
        (run.checkpoints / name).mkdir(parents=True)
    assert run.latest_step() == 10
