import collections

import pytest

from bert_jax.data import sources
from bert_jax.errors import CorpusError


def read(spec):
    counts = collections.Counter()
    return [d for unit in sources.units(spec, 0) for d in sources.documents(unit, "en", counts)], counts


def test_text_is_split_at_blank_lines(tmp_path):
    (tmp_path / "a.txt").write_text("One.\nTwo.\n\n\nThree.\n")
    documents, _ = read(f"text:{tmp_path}/*.txt")
    assert [(d.id, d.text) for d in documents] == [("a.txt:0", "One.\nTwo."), ("a.txt:1", "Three.")]


def test_jsonl_keeps_id_and_language(tmp_path):
    lines = ['{"text": "Hallo.", "id": "x", "lang": "de"}', '{"text": " "}', '{"text": "B", "id": null, "lang": null}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    documents, counts = read(f"jsonl:{tmp_path}/a.jsonl")
    assert [(d.id, d.language) for d in documents] == [("x", "de"), ("a.jsonl:2", "en")]
    assert counts["empty_documents"] == 1


@pytest.mark.parametrize("line", ["{", "[]", '{"txt": "a"}', '{"text": null}', '{"text": "a", "lang": 3}'])
def test_a_bad_line_is_named(tmp_path, line):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' + line + "\n")
    with pytest.raises(CorpusError, match="line 2"):
        read(f"jsonl:{tmp_path}/a.jsonl")


def test_unknown_kinds_and_empty_patterns_are_refused(tmp_path):
    for spec in ("texts:x", "text:", "docstrings:x", "csv"):
        with pytest.raises(CorpusError, match="is not one of"):
            sources.units(spec, 0)
    with pytest.raises(CorpusError, match="matches no file"):
        sources.units(f"text:{tmp_path}/*.none", 0)
