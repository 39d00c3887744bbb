import os

import pytest

from bert_jax import storage
from bert_jax.errors import DamagedFileError


def test_files_are_whole_or_absent(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    storage.write_json(file, {"b": 1})
    monkeypatch.setattr(type(storage.epath.Path(file)), "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        storage.write_json(file, {"b": 2})
    monkeypatch.undo()
    assert storage.read_json(file) == {"b": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_link_in_the_way_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "a.json").symlink_to(tmp_path / "mine")
    (tmp_path / "a.json.partial").symlink_to(tmp_path / "mine")  # where others may expect the temporary file
    storage.write_json(tmp_path / "a.json", 1)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not (tmp_path / "a.json").is_symlink()
    assert storage.read_json(tmp_path / "a.json") == 1


def test_a_temporary_file_is_new_or_an_error(tmp_path, monkeypatch):
    taken = storage.epath.Path(tmp_path / "taken")
    monkeypatch.setattr(storage, "temporary_path", lambda _: taken)
    for make in (lambda: taken.write_bytes(b"mine"), lambda: os.symlink(tmp_path / "nowhere", taken)):
        make()
        with pytest.raises(FileExistsError):
            storage.create(taken)
        taken.unlink()
    assert not list(tmp_path.iterdir())


def test_the_content_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda number: done.append(os.fstat(number).st_size))
    replace = type(storage.epath.Path(tmp_path)).replace
    monkeypatch.setattr(
        type(storage.epath.Path(tmp_path)), "replace", lambda *given: done.append("renamed") or replace(*given)
    )
    storage.write_bytes(tmp_path / "a", b"12345")
    assert done[:2] == [5, "renamed"]
    assert len(done) == 3  # and the folder


def test_files_keep_the_rights_that_new_files_have(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    storage.write_bytes(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "gs://a/b", "a\0", "a\n", ".."]
)
def test_names_from_outside_never_lead_elsewhere(name):
    with pytest.raises(DamagedFileError, match=r"which is not a file inside"):
        storage.check_inside(name, "run.json")


def test_names_from_outside_may_be_those_of_files_inside():
    for name in ("labels.json", "tokenizer/tokenizer.model", "a b/ü..txt"):
        storage.check_inside(name, "run.json")


def test_a_file_of_another_form_is_damaged(tmp_path):
    (tmp_path / "a.json").write_text('{"steps": "x"}')
    assert storage.read_json(tmp_path / "a.json") == {"steps": "x"}
    with pytest.raises(DamagedFileError, match=r"a.json is damaged \(steps is not a list\): restore it"):
        storage.read_json(tmp_path / "a.json", {"steps": [int]})
