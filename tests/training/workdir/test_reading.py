"""A bucket or a disk that fails is told as such, and never taken for damage."""

import errno

import pytest

from bert_jax import load
from bert_jax.errors import CheckpointError, ReadError
from bert_jax.tasks.pretraining import pretrain
from bert_jax.training.workdir.checkpoints import Checkpoints, Preserved
from bert_jax.training.workdir.reading import check_readable
from tests.survival.bucket import Bucket
from tests.survival.place import contents
from tests.training.workdir.test_checkpoints import ASSETS, make_state, save, shapes

SAYS = r"cannot be read \(503 Service Unavailable\): mend it, or try again later\."


@pytest.mark.parametrize(
    ("error", "fails"),
    [
        (OSError(errno.EIO, "503 Service Unavailable"), True),
        (PermissionError(errno.EACCES, "Permission denied"), True),
        (ValueError("UNAVAILABLE: Error reading gs://a/b: 503"), True),
        (type("HttpError", (Exception,), {"__module__": "gcsfs.retry"})("Service unavailable, 503"), True),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), False),
        (OSError(errno.ENAMETOOLONG, "File name too long"), False),
        (ValueError("DATA_LOSS: Error reading checksum"), False),
        (ValueError("NOT_FOUND: Metadata"), False),
        (KeyError("state"), False),
        (CheckpointError("step 1 does not match its checksums in params/x"), False),
    ],
    ids=str,
)
def test_failures_are_told_from_damage(error, fails):
    wrapped = ValueError("libraries wrap them")
    wrapped.__cause__ = error
    for one in (error, wrapped):
        if fails:
            with pytest.raises(ReadError, match=r"step 1 cannot be read \(.*\): mend it, or try again later\."):
                check_readable(one, "step 1")
        else:
            check_readable(one, "step 1")


def test_a_start_that_cannot_read_moves_nothing(tmp_path):
    for step in (1, 2):
        opened = Checkpoints(tmp_path / "run" / "checkpoints", Preserved(2), ASSETS)
        save(opened, step, make_state(step))
        opened.close()
    opened = Checkpoints(tmp_path / "run" / "checkpoints", Preserved(2), ASSETS)
    before = contents(tmp_path)
    with Bucket(tmp_path / "run" / "checkpoints" / "2" / "about", failures=1.0), pytest.raises(ReadError, match=SAYS):
        opened.restore_latest(shapes(make_state(0)))
    assert contents(tmp_path) == before
    assert int(opened.restore_latest(shapes(make_state(0))).step) == 2
    opened.close()


def test_what_cannot_be_read_back_is_not_called_damaged(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints", Preserved(2), ASSETS)
    wait = opened.wait

    def fail_from_now_on():
        wait()
        bucket.__enter__()

    bucket = Bucket(tmp_path / "checkpoints", failures=1.0)
    opened.wait = fail_from_now_on
    try:
        with pytest.raises(ReadError, match=f"The checkpoint of step 1 in .* {SAYS}"):
            save(opened, 1, make_state(1))
    finally:
        bucket.__exit__()
        opened.close()


def test_load_says_so_wherever_it_fails(config, tmp_path):
    config.train.num_steps = 1
    pretrain(config, tmp_path / "run")
    told = []
    for seed in range(12):
        with Bucket(tmp_path / "run", seed, failures=0.02) as bucket:
            try:
                load(tmp_path / "run")
                # What need not be there, such as a description of Orbax's, may fail.
                assert len(bucket.failed) <= 1
            except ReadError as error:
                told.append(str(error))
    assert told
    assert all("cannot be read (503 Service Unavailable)" in one for one in told)
    with Bucket(tmp_path / "run", failures=1.0), pytest.raises(ReadError, match=SAYS):
        load(tmp_path / "run")
