import json
import os

from bert_jax.corpus.builder import docstrings


def test_packages_are_held_out_whole():
    def package(file):
        parts = file.split(os.sep)
        return parts[parts.index("site-packages") + 1] if "site-packages" in parts else None

    groups = docstrings.groups()
    held_out = {package(f) for files, validation in groups if validation for f in files} - {None}
    trained_on = {package(f) for files, validation in groups if not validation for f in files} - {None}
    assert held_out
    assert not held_out & trained_on
    assert not any("tests" in f.split(os.sep) for files, _ in groups for f in files)


def test_reads_paragraphs_as_lines():
    (text,) = docstrings.read(json.__file__)
    assert docstrings.name(json.__file__) == os.path.join("json", "__init__.py")
    assert "JSON (JavaScript Object Notation)" in text
    assert ">>> json.loads" in text
    assert docstrings._one_line("Title\n=====\n  and\n  more") == "Title and more"


def test_files_that_do_not_parse_have_no_document(tmp_path):
    (tmp_path / "bad.py").write_text("def f(:\n")
    assert list(docstrings.read(str(tmp_path / "bad.py"))) == []


def test_no_package_dominates_the_held_out_text():
    sizes = {"huge": 1000} | {f"p{i}": 10 for i in range(100)}
    chosen = docstrings._held_out(sizes)
    assert "huge" not in chosen
    assert 0.06 * 2000 <= sum(sizes[name] for name in chosen) <= 0.09 * 2000
