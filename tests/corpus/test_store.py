import shutil
import threading

import numpy as np
import pytest

from bert_jax.corpus import index, store
from bert_jax.errors import CorpusError


@pytest.fixture
def without_index(corpus_path, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(corpus_path, tmp_path / "corpus")
    shutil.rmtree(tmp_path / "corpus" / "index")
    return tmp_path / "corpus"


def refuse_to_write(monkeypatch, *folders):
    """As read-only folders do; the tests may run as root, whom permissions do not stop."""
    path_class = type(index.epath.Path("/"))
    mkdir, access = path_class.mkdir, store.os.access

    def checked(self, *args, **kwargs):
        if any(str(self).startswith(str(folder)) for folder in folders):
            raise PermissionError(13, "Permission denied", str(self))
        return mkdir(self, *args, **kwargs)

    monkeypatch.setattr(path_class, "mkdir", checked)
    monkeypatch.setattr(store.os, "access", lambda path, mode: path not in folders and access(path, mode))


def test_the_index_of_a_read_only_corpus_goes_to_the_cache(without_index, corpus, tmp_path, monkeypatch):
    refuse_to_write(monkeypatch, without_index)
    opened = store.open_corpus(without_index)
    np.testing.assert_array_equal(opened.train.token_ids, corpus.train.token_ids)
    assert str(opened.train.token_ids.filename).startswith(f"{tmp_path}/cache/bert_jax/corpora/{corpus.fingerprint}/")
    assert not (without_index / "index").exists()
    monkeypatch.setattr(index, "rebuild", lambda *_: 1 / 0)  # it is there
    assert store.open_corpus(without_index).fingerprint == corpus.fingerprint


def test_no_place_for_an_index_is_told(without_index, tmp_path, monkeypatch):
    refuse_to_write(monkeypatch, without_index, tmp_path / "cache")
    with pytest.raises(
        CorpusError, match=r"no place to write one \(.*/corpus: Permission denied; .*/cache/.*XDG_CACHE_HOME"
    ):
        store.open_corpus(without_index)


def test_several_processes_may_rebuild_an_index_at_once(without_index, corpus, monkeypatch):
    """Here threads that meet just before each puts its index in place."""
    path_class = type(index.epath.Path("/"))
    together, rename = threading.Barrier(3), path_class.rename

    def meets(self, target):
        together.wait(timeout=60)
        return rename(self, target)

    monkeypatch.setattr(path_class, "rename", meets)
    opened = []
    threads = [threading.Thread(target=lambda: opened.append(store.open_corpus(without_index))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.fingerprint for one in opened] == [corpus.fingerprint] * 3
    assert not list(without_index.glob("*.partial"))
