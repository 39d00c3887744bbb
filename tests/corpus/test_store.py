import json
import pathlib
import shutil
import threading

import numpy as np
import pytest

from bert_jax.corpus import index, store
from bert_jax.data.batches import Batches
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


@pytest.mark.parametrize("is_there", [False, True])
def test_several_processes_may_rebuild_an_index_at_once(is_there, without_index, corpus_path, corpus, monkeypatch):
    """Here threads that meet when each has seen the damage."""
    if is_there:
        shutil.copytree(f"{corpus_path}/index", without_index / "index")
        (without_index / "index/train/token_ids.npy").write_bytes(b"damaged")
    together, rebuild, opened = threading.Barrier(3), index.rebuild, []

    def meet_and_rebuild(*given):
        together.wait(timeout=60)
        rebuild(*given)

    monkeypatch.setattr(index, "rebuild", meet_and_rebuild)
    threads = [threading.Thread(target=lambda: opened.append(store.open_corpus(without_index))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.fingerprint for one in opened] == [corpus.fingerprint] * 3
    assert not list(without_index.glob("*.partial"))


def test_an_index_that_another_process_has_just_rebuilt_is_never_gone(corpus_path, tmp_path, monkeypatch):
    """That process, or a run that it starts, is about to open it."""
    shutil.copytree(corpus_path, tmp_path / "corpus")
    file = tmp_path / "corpus" / "index" / "train" / "token_ids.npy"
    whole = file.read_bytes()
    file.write_bytes(b"damaged")
    looks, look, rebuild, seen = [], store._open_index, index.rebuild, []

    def look_before_another_rebuilds(folder, manifest):
        looks.append(folder)
        try:
            return look(folder, manifest)
        except CorpusError:
            if len(looks) == 2:
                file.write_bytes(whole)
            raise

    def note_and_rebuild(*given):
        seen.append(file.exists() and file.read_bytes() == whole)
        rebuild(*given)

    monkeypatch.setattr(store, "_open_index", look_before_another_rebuilds)
    monkeypatch.setattr(index, "rebuild", note_and_rebuild)
    store.open_corpus(tmp_path / "corpus").train.check_unchanged()
    assert seen == [True]


@pytest.mark.parametrize("file", ["train/token_ids.npy", "validation/document_starts.npy"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "lost"])
def test_a_damaged_index_is_rebuilt_from_the_shards(file, damage, corpus_path, corpus, tmp_path):
    shutil.copytree(corpus_path, tmp_path / "corpus")
    whole = (tmp_path / "corpus" / "index" / file).read_bytes()
    damages = {"flipped": whole[:-1] + bytes([whole[-1] ^ 1]), "cut": whole[: len(whole) // 2], "lost": None}
    (tmp_path / "corpus" / "index" / file).unlink()
    if (content := damages[damage]) is not None:
        (tmp_path / "corpus" / "index" / file).write_bytes(content)
    opened = store.open_corpus(tmp_path / "corpus")
    np.testing.assert_array_equal(opened.train.token_ids, corpus.train.token_ids)
    assert (tmp_path / "corpus" / "index" / file).read_bytes() == whole
    assert not list((tmp_path / "corpus").glob("*.partial"))


def test_a_manifest_that_does_not_fit_the_shards_is_named(corpus_path, tmp_path):
    shutil.copytree(corpus_path, tmp_path / "corpus")
    file = tmp_path / "corpus" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["splits"]["train"]["index"]["token_ids"] = "0" * 64
    file.write_text(json.dumps(manifest))
    with pytest.raises(CorpusError, match=r"manifest.json is damaged, its hashes are not those of its index: restore"):
        store.open_corpus(tmp_path / "corpus")


def test_an_intact_array_stays_where_another_is_rebuilt(corpus_path, tmp_path):
    """Runs that read it would be told that it has changed."""
    shutil.copytree(corpus_path, tmp_path / "corpus")
    opened = store.open_corpus(tmp_path / "corpus")
    (tmp_path / "corpus" / "index" / "validation" / "token_ids.npy").unlink()
    store.open_corpus(tmp_path / "corpus")
    opened.train.check_unchanged()


def test_a_batch_is_not_made_of_ids_that_were_overwritten(corpus_path, config, tmp_path):
    shutil.copytree(corpus_path, tmp_path / "corpus")
    opened = store.open_corpus(tmp_path / "corpus")
    batches = Batches(opened.train, opened.sources, opened.tokenizer, config.data, 0, 8)
    batches.batch(0)
    with (tmp_path / "corpus" / "index" / "train" / "token_ids.npy").open("r+b") as file:
        file.seek(200)
        file.write(bytes(2))
    with pytest.raises(CorpusError, match=r"token_ids.npy has changed while it is in use"):
        batches.batch(1)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(fingerprint="../../../x"),
        lambda m: m["splits"].update({"../x": m["splits"]["train"]}),
        lambda m: m["splits"]["train"]["shards"][0].update(file="../../secret"),
        lambda m: m["splits"]["train"]["shards"][0].update(file="/etc/passwd"),
        lambda m: m["splits"]["train"].update(tokens="many"),
        lambda m: m["splits"]["train"].update(shards=5),
        lambda m: m.update(sources=[{"name": 1}]),
        lambda m: m.update(notes=[5]),
    ],
)
def test_a_manifest_of_somebody_else_leads_nowhere(change, corpus_path, tmp_path):
    manifest = json.loads((pathlib.Path(corpus_path) / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorpusError, match=r"manifest.json is damaged \(.*\): restore it"):
        store.read_manifest(store.epath.Path(tmp_path))
