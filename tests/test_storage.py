import hashlib

import pytest

from bert_jax import storage


def test_files_are_whole_or_absent(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    storage.write_json(file, {"b": 1})
    monkeypatch.setattr(type(storage.epath.Path(file)), "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        storage.write_json(file, {"b": 2})
    monkeypatch.undo()
    assert storage.read_json(file) == {"b": 1}


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 5_000_000)
    assert storage.sha256(tmp_path / "a") == hashlib.sha256(b"x" * 5_000_000).hexdigest()
    assert storage.fingerprint({"a": 1, "b": 2}) == storage.fingerprint({"b": 2, "a": 1}) != storage.fingerprint({})
