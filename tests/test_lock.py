import dataclasses
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import fsspec.implementations.dirfs
import psutil
import pytest
from etils.epath import backend

from bert_jax import lock, storage
from bert_jax.errors import LockError


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.05)
    monkeypatch.setattr(lock, "STALE", 0.6)
    monkeypatch.setattr(lock, "POLL", 0.02)


def claim(folder, **changes):
    """Writes the claim of this process with some changes, and returns its path."""
    owner = lock.Owner(
        "a build", "here", lock._machine(), os.getpid(), psutil.Process().create_time(), 1e9, time.time()
    )
    folder.mkdir(exist_ok=True)
    file = folder / "lock-00000000000001-00.json"
    storage.write_json(file, dataclasses.asdict(dataclasses.replace(owner, **changes)))
    return file


def refuses(folder):
    with pytest.raises(LockError) as caught, lock.hold(folder, "a run"):
        raise AssertionError("it was given away twice")
    return str(caught.value)


def test_the_owner_is_named_and_the_folder_is_free_afterwards(tmp_path):
    folder, threads = tmp_path / "new", threading.active_count()
    with lock.hold(folder, "a build"):
        (file,) = folder.glob("*.json")
        assert lock.is_claim(file.name)
        message = refuses(folder)
        assert f"{folder} is in use by a build, process {os.getpid()} on " in message
        assert " since 20" in message
        assert "delete" not in message  # its end would be noticed
        assert list(folder.glob("*.json")) == [file]
    assert not folder.exists()
    assert threading.active_count() == threads
    with lock.hold(folder, "a run"):
        (folder / "kept").touch()
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_a_claim_of_a_process_that_has_ended_is_removed_at_once(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for changes in ({"process": ended.pid}, {"started": psutil.Process().create_time() - 60}):
        file, begin = claim(tmp_path, **changes), time.monotonic()
        with lock.hold(tmp_path, "a run"):
            assert not file.exists()
            assert time.monotonic() - begin < lock.STALE
    file = claim(tmp_path)  # while that of a living one counts
    assert "process" in refuses(tmp_path)
    assert file.exists()


def test_a_claim_that_was_never_finished_goes_and_one_that_is_written_again_stays(tmp_path):
    file = claim(tmp_path, machine="elsewhere", process=1, beat=time.time())
    unfinished = tmp_path / f"{lock.PREFIX}00000000000001-0123abcd.json.0123456789abcdef.partial"
    again = tmp_path / f"{file.name}.0123456789abcdef.partial"
    for path in (unfinished, again):
        path.touch()
    lock._remove_unfinished(lock.epath.Path(tmp_path))
    assert not unfinished.exists()
    assert again.exists()
    file.unlink()
    with lock.hold(tmp_path, "a run"):
        assert not again.exists()


def test_a_claim_of_another_machine_is_stale_when_its_heartbeat_stands_still(tmp_path):
    file, begin, told = claim(tmp_path, machine="elsewhere", process=1), time.monotonic(), []
    with lock.hold(tmp_path, "a run", told.append):
        assert time.monotonic() - begin > lock.STALE
    assert not file.exists()
    assert len(told) == 1
    assert "was claimed by a build, process 1 on here since 2001-09-09" in told[0]
    claim(tmp_path, machine="elsewhere", beat=time.time() - 2 * lock.OLD)  # an old one at once
    with lock.hold(tmp_path, "a run", told.append):
        assert len(told) == 1


def test_a_claim_of_another_machine_counts_while_its_heart_beats(tmp_path, monkeypatch):
    """Two containers with the same process ids."""
    machines = iter(["one"])
    monkeypatch.setattr(lock, "_machine", lambda: next(machines, "two"))
    with lock.hold(tmp_path, "a run", str):
        (file,) = tmp_path.glob("*.json")
        assert f"(or delete {file}, if you know that it has ended)" in refuses(tmp_path)


def test_a_damaged_claim_is_taken_for_one_of_another_machine(tmp_path):
    file, told = claim(tmp_path), []
    file.write_text("{}")
    with lock.hold(tmp_path, "a run", told.append):
        assert not file.exists()
    assert len(told) == 1


def contend(folder, start, results):
    start.wait()
    try:
        with lock.hold(folder, "a run"):
            results.put("held")
            time.sleep(1)
    except LockError as error:
        results.put(str(error))


def test_one_of_many_simultaneous_processes_gets_the_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(6), context.Queue()
    processes = [context.Process(target=contend, args=(tmp_path / "new", start, results)) for _ in range(6)]
    for process in processes:
        process.start()
    answers = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert answers.count("held") == 1, answers
    assert sum("is in use by a run, process" in answer for answer in answers) == 5


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written" in refuses(tmp_path / "file" / "below")


class Bucket(fsspec.implementations.dirfs.DirFileSystem):
    """A file system for `gs://`, on a local folder."""

    def _join(self, path):
        return super()._join(path.removeprefix("gs://"))


def test_it_works_in_buckets(tmp_path, monkeypatch):
    bucket = Bucket(str(tmp_path), fsspec.filesystem("file", auto_mkdir=True))
    monkeypatch.setattr(backend.fsspec_backend, "fs", lambda path: bucket)
    with lock.hold("gs://bucket/run", "a run"):
        (file,) = (tmp_path / "bucket" / "run").glob("*.json")
        assert "gs://bucket/run is in use by a run, process" in refuses("gs://bucket/run")
    assert not file.exists()


def test_a_folder_that_is_moved_or_removed_is_no_longer_held(tmp_path):
    with lock.hold(tmp_path / "run", "a run") as check:
        check()
        (tmp_path / "run").rename(tmp_path / "moved")
        with pytest.raises(LockError, match=r"/run is no longer the folder .*run the same command with its new place"):
            check()
        (tmp_path / "run").mkdir()  # by another program: it is another folder
        with pytest.raises(LockError):
            check()
