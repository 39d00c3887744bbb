import sys

import numpy as np
import pytest

from bert_jax.data.tables import read_table, read_tagged
from bert_jax.errors import CorpusError
from tests.data.tables.small_data_set import write_data_set

EXAMPLES = [
    {"sentence": f"Été {i}.", "label": i % 2 if i < 9 else -1, "score": i / 2, "tokens": ["a", "b"], "ner": [0, i % 2]}
    for i in range(10)
]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """A folder in TFDS' form with ten examples, the last without a label."""
    folder = tmp_path_factory.mktemp("data_set")
    write_data_set(
        folder,
        lambda features: {
            "sentence": features.Text(),
            "label": features.ClassLabel(names=["negative", "positive"]),
            "score": features.Scalar(np.float32),
            "tokens": features.Sequence(features.Text()),
            "ner": features.Sequence(features.ClassLabel(names=["O", "B-X"])),
        },
        EXAMPLES,
    )
    return folder


def test_examples_are_records_with_names_for_classes(data_set):
    records = list(read_table(f"tfds:{data_set}:train"))
    assert [record.values["sentence"] for record in records] == [example["sentence"] for example in EXAMPLES]
    assert [record.values["label"] for record in records] == [*["negative", "positive"] * 4, "negative", None]
    assert [record.values["score"] for record in records] == [i / 2 for i in range(10)]
    assert records[1].values["ner"] == ["O", "B-X"]
    assert records[1].where == f"tfds:{data_set}:train, example 2"
    assert {type(value) for value in records[1].values.values()} == {str, float, list}
    assert len(list(read_table(f"tfds:{data_set}:train[:30%]"))) == 3


def test_sequences_are_sentences_with_tags(data_set):
    records = list(read_tagged(f"tfds:{data_set}:train"))
    assert [record.values for record in records[:2]] == [
        {"tokens": ["a", "b"], "tags": ["O", "O"]},
        {"tokens": ["a", "b"], "tags": ["O", "B-X"]},
    ]


def test_what_cannot_be_read_says_what_there_is(data_set, monkeypatch):
    for path, message in (
        (f"tfds:{data_set}:dev", r":dev has no such split: give one of train\."),
        (f"tfds:{data_set}", r"names no split: write tfds:NAME:SPLIT"),
        ("tfds:no_such_set_at_all:train", "no_such_set_at_all:train cannot be read by TensorFlow Datasets"),
    ):
        with pytest.raises(CorpusError, match=message):
            list(read_table(path))
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(CorpusError, match="by TensorFlow Datasets: import of tensorflow_datasets halted"):
        list(read_table(f"tfds:{data_set}:train"))
