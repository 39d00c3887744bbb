import pathlib
import shutil

import numpy as np
import pytest

from bert_jax.corpus import buckets as remote
from bert_jax.corpus import store as corpora
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.errors import CorpusError, LockError
from tests.survival.bucket import Bucket

QUIET = {"progress": lambda line: None, "vocab_size": 300, "validation_fraction": 0.1, "num_workers": 1}


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A folder that counts as a bucket."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "is_remote", lambda path: str(path).startswith(str(tmp_path / "bucket")))
    return tmp_path / "bucket"


def test_buckets_are_known_by_their_paths():
    assert remote.is_remote("gs://bucket/corpus")
    assert not remote.is_remote("/data/corpus")


def test_a_corpus_in_a_bucket_is_the_same(bucket, jsonl_files, tmp_path):
    there = prepare_corpus(f"jsonl:{jsonl_files}", bucket / "c", **QUIET)
    here = prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", **QUIET)
    names = {p.relative_to(bucket / "c") for p in (bucket / "c").rglob("*") if p.is_file()}
    assert names == {p.relative_to(tmp_path / "c") for p in (tmp_path / "c").rglob("*") if p.is_file()}
    assert there.manifest == here.manifest
    np.testing.assert_array_equal(there.train.token_ids, here.train.token_ids)
    assert str(there.train.token_ids.filename).startswith(str(tmp_path / "cache"))
    assert not list((tmp_path / "cache" / "bert_jax" / "builds").iterdir())


def test_the_local_copy_is_used_verified_and_restored(bucket, jsonl_files):
    opened = prepare_corpus(f"jsonl:{jsonl_files}", bucket / "c", **QUIET)
    copy = pathlib.Path(opened.train.token_ids.filename)
    content = bytearray(copy.read_bytes())
    expected = opened.train.token_ids[-1]
    content[-1] ^= 1
    copy.write_bytes(content)
    assert corpora.open_corpus(bucket / "c").train.token_ids[-1] == expected
    shutil.rmtree(bucket / "c" / "index")
    assert corpora.open_corpus(bucket / "c").fingerprint == opened.fingerprint


def test_a_build_goes_on_where_the_bucket_failed(jsonl_files, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", **QUIET)
    failed = 0
    for seed in range(100):
        with Bucket(tmp_path / "bucket", seed, failures=0.02, delay=0.5):
            try:
                there = prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "bucket" / "c", **QUIET)
                break
            except OSError as error:
                failed += error.strerror.startswith("503")
            except (CorpusError, LockError) as error:
                failed += "503" in str(error)
    assert failed == seed
    np.testing.assert_array_equal(there.train.token_ids, here.train.token_ids)
    assert corpora.open_corpus(tmp_path / "bucket" / "c").fingerprint == here.fingerprint


def test_an_upload_that_stopped_is_no_corpus_and_can_be_repeated(bucket, jsonl_files, monkeypatch):
    copied, copy = [], type(remote.epath.Path("/")).copy

    def breaks_at_the_fifth(self, *args, **kwargs):
        copied.append(self)
        if len(copied) == 5:
            raise KeyboardInterrupt
        return copy(self, *args, **kwargs)

    monkeypatch.setattr(type(remote.epath.Path("/")), "copy", breaks_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        prepare_corpus(f"jsonl:{jsonl_files}", bucket / "c", **QUIET)
    monkeypatch.setattr(type(remote.epath.Path("/")), "copy", copy)
    with pytest.raises(CorpusError, match="is incomplete"):
        corpora.open_corpus(bucket / "c")
    lines = []
    prepare_corpus(f"jsonl:{jsonl_files}", bucket / "c", **QUIET | {"progress": lines.append})
    assert not any("encoding" in line for line in lines)
