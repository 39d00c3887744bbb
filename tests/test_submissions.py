import pytest

from bert_jax.data.benchmarks import GLUE, SUPER_GLUE
from bert_jax.errors import CorpusError
from bert_jax.submissions import _content, _indices, answer


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
