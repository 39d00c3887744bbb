import os
import re

import fsspec
import pytest
from etils.epath import backend

from bert_jax.errors import CorpusError
from bert_jax.files import patterns
from tests.test_lock import Bucket


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    for name in ("[2023] x/a[1]*?.txt", "[2023] x/b.txt", "tree/sub/c.txt", "elsewhere/d.txt", "tree/0.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("One.")
    (tmp_path / "tree" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tree" / "up").symlink_to(tmp_path / "tree")
    monkeypatch.chdir(tmp_path)


def found(pattern):
    return [name for _, name in patterns.files(pattern, pattern)]


def test_what_is_called_so_is_meant():
    assert found("[2023] x/*.txt") == ["a[1]*?.txt", "b.txt"]
    assert found("[2023] x/a[1]*?.txt") == ["a[1]*?.txt"]
    assert found("*x/[ab].txt") == ["[2023] x/b.txt"]
    assert patterns.split("[2023] x/*.txt") == ("[2023] x", "*.txt")


def test_links_to_folders_are_followed_once():
    assert found("tree/**/*.txt") == ["0.txt", "linked/d.txt", "sub/c.txt"]
    assert found("tree/**") == ["0.txt", "linked/d.txt", "sub/c.txt"]
    assert found("**/d.txt") == ["elsewhere/d.txt"]
    assert found("tree/linked/*") == ["d.txt"]
    assert found("**/sub/**/*.txt") == ["tree/sub/c.txt"]


@pytest.mark.parametrize("pattern", ["bad/*", "bad/it", "**/it"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("/nowhere/gone"), "is a link that leads nowhere (/nowhere/gone)"),
        (lambda path: path.symlink_to("it"), "is a link that leads nowhere (it)"),
        (os.mkfifo, "is a pipe, not a file"),
    ],
)
def test_a_match_that_is_no_file_is_named(tmp_path, pattern, make, message):
    (tmp_path / "bad").mkdir()
    make(tmp_path / "bad" / "it")
    with pytest.raises(CorpusError, match=r"bad/it " + re.escape(message)):
        found(pattern)


def test_names_that_are_not_utf8_are_told_apart(tmp_path):
    for name in (b"caf\xe9.txt", b"caf\xe8.txt", "café.txt".encode()):
        (tmp_path / "elsewhere" / os.fsdecode(name)).write_text("Two.")
    names = found("elsewhere/caf*")
    assert sorted(names) == ["caf\\xe8.txt", "caf\\xe9.txt", "café.txt"]
    assert all(os.path.exists(path) for path, _ in patterns.files("elsewhere/caf*", ""))


def test_buckets_have_the_same_patterns(tmp_path, monkeypatch):
    (tmp_path / "tree" / "up").unlink()  # buckets have no links
    bucket = Bucket(str(tmp_path), fsspec.filesystem("file"))
    monkeypatch.setattr(backend.fsspec_backend, "fs", lambda path: bucket)
    for pattern, names in (("tree/**/*.txt", ["0.txt", "linked/d.txt", "sub/c.txt"]), ("[2023] x/b*", ["b.txt"])):
        assert patterns.files(f"gs://{pattern}", "") == [
            (f"gs://{pattern.partition('/')[0]}/{name}", name) for name in names
        ]
    assert patterns.files("gs://tree/0.txt", "") == [("gs://tree/0.txt", "0.txt")]
    with pytest.raises(CorpusError, match="matches no file"):
        patterns.files("gs://tree/none*.txt", "gs://tree/none*.txt")
