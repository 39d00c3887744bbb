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
