import types

import pytest

from bert_jax import submissions
from bert_jax.data.benchmarks import GLUE, SUPER_GLUE
from bert_jax.data.tables import read_table
from bert_jax.errors import CorpusError
from bert_jax.submissions import _content, _indices, answer, write_submissions


@pytest.mark.parametrize(
    ("task", "predicted", "expected"),
    [
        ("cola", "acceptable", 1),  # its place in an alphabetical list would be 0
        ("cola", "unacceptable", 0),
        ("sst2", "negative", 0),
        ("mrpc", "equivalent", 1),
        ("mrpc", "not_equivalent", 0),
        ("qqp", "duplicate", 1),
        ("wnli", "entailment", 1),
        ("mnli", "contradiction", "contradiction"),
        ("qnli", "not_entailment", "not_entailment"),
        ("rte", "entailment", "entailment"),
        ("stsb", 2.5, "2.500"),
        ("stsb", 5.4, "5.000"),
        ("stsb", -0.2, "0.000"),
    ],
)
def test_labels_are_what_the_server_calls_them(task, predicted, expected):
    assert answer(GLUE.tasks[task], {"predicted": predicted}) == expected


def test_answers_of_super_glue():
    said = [("boolq", "True"), ("wic", "False"), ("cb", "neutral"), ("copa", 1), ("rte", "entailment")]
    assert [answer(SUPER_GLUE.tasks[task], {"predicted": one}) for task, one in said] == [
        *("true", "false", "neutral", 1, "entailment")
    ]


def test_forms_of_the_files():
    assert _content(".tsv", [(0, 1), (1, "neutral")]) == "index\tprediction\n0\t1\n1\tneutral\n"
    assert _content(".jsonl", [(0, 1), (1, "true")]) == '{"idx": 0, "label": 1}\n{"idx": 1, "label": "true"}\n'


def test_examples_keep_the_numbers_of_the_data_set(tmp_path):
    file = tmp_path / "test.tsv"
    for text, expected in (
        ("idx\tsentence\n2\ta\n0\tb\n1\tc\n", [2, 0, 1]),
        ("index\tsentence\n0\ta\n1\tb\n", [0, 1]),
        ("sentence\na\nb\n", [0, 1]),
    ):
        file.write_text(text)
        assert _indices(str(file)) == expected
    file.write_text("idx\tsentence\n0\ta\n0\tb\n")
    with pytest.raises(CorpusError, match="has an index twice"):
        _indices(str(file))
    file.write_text("idx\tsentence\nx1\ta\n")
    with pytest.raises(CorpusError, match="the index 'x1' is no number"):
        _indices(str(file))


def test_a_prediction_stands_at_its_example_whatever_the_order_of_the_file(tmp_path, monkeypatch):
    """The hidden labels, -1, are not read."""
    (tmp_path / "MRPC").mkdir()
    (tmp_path / "MRPC/test.tsv").write_text("idx\tlabel\tsentence1\n2\t-1\tyes\n0\t-1\tno\n1\t-1\tyes\n")

    def said(model, path, labelled, lines):
        assert not labelled
        for record in read_table(path):
            yield {"predicted": "equivalent" if record.values["sentence1"] == "yes" else "not_equivalent"}

    monkeypatch.setattr(submissions, "predictions", said)
    monkeypatch.setattr(submissions, "_for_new_columns", lambda model: model)
    model = types.SimpleNamespace(source="runs/a", step=3)
    files = write_submissions(GLUE, GLUE.tasks["mrpc"], model, tmp_path / "out", str(tmp_path))
    assert files == ["MRPC.tsv"]
    assert (tmp_path / "out/MRPC.tsv").read_text() == "index\tprediction\n0\t0\n1\t1\n2\t1\n"
    # The same model does not predict again, another one does.
    (tmp_path / "out/MRPC.tsv").write_text("kept")
    write_submissions(GLUE, GLUE.tasks["mrpc"], model, tmp_path / "out", str(tmp_path))
    assert (tmp_path / "out/MRPC.tsv").read_text() == "kept"
    write_submissions(
        GLUE, GLUE.tasks["mrpc"], types.SimpleNamespace(source="runs/a", step=4), tmp_path / "out", tmp_path
    )
    assert (tmp_path / "out/MRPC.tsv").read_text() != "kept"
    assert write_submissions(GLUE, GLUE.tasks["rte"], model, tmp_path / "out", str(tmp_path)) == []
