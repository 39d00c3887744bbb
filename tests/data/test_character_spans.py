import json

import pytest

from bert_jax.data.character_spans import span_columns, spans_as_tags
from bert_jax.data.tables import Record
from bert_jax.data.tagged_files import TaggedTextsConfig, read_sentences
from bert_jax.errors import CorpusError


def tagged(text, *spans):
    words, tags, widened = spans_as_tags(
        Record({"text": text, "entities": list(spans)}, "a.jsonl, line 3"), "text", "entities"
    )
    return [f"{word}/{tag}" for word, tag in zip(words, tags, strict=True)], widened


@pytest.mark.parametrize(
    "span",
    [
        [4, 9, "LOC"],
        {"start": 4, "end": 9, "label": "LOC"},
        {"start_offset": 4, "end_offset": 9, "label": "LOC", "id": 7},
        {"name": "Paris", "span": [4, 9], "type": "LOC"},
        {"start": 4, "end": 9, "entity_group": "LOC", "score": 0.9},
    ],
)
def test_the_usual_forms(span):
    assert tagged("Via Paris.", span) == (["Via/O", "Paris/B-LOC", "./O"], 0)


def test_words_of_texts_without_blanks():
    text = "東京とパリ"
    assert tagged(text, [3, 5, "LOC"], [0, 2, "LOC"])[0] == ["東/B-LOC", "京/I-LOC", "と/O", "パ/B-LOC", "リ/I-LOC"]
    assert tagged(text) == ([f"{c}/O" for c in text], 0)


def test_a_part_of_a_word_is_widened_and_counted():
    assert tagged("Parisians in Rome", [0, 5, "LOC"], [13, 17, "LOC"]) == (["Parisians/B-LOC", "in/O", "Rome/B-LOC"], 1)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[4, 11, "LOC"]], r"line 3: .* is no part of the text"),
        ([[4, 4, "LOC"]], "is no part of the text"),
        ([[3, 4, "LOC"]], "is no part of the text"),  # a blank
        ([[0, 3, "PER"], [2, 9, "LOC"]], "PER and LOC share a word"),
        ([[0, 3]], "is no span"),
        ([{"start": 0, "end": "3", "label": "PER"}], "is no span"),
        ([{"start": 0, "end": 3}], "is no span"),
        (["Via"], "is no span"),
    ],
)
def test_what_cannot_be_read(spans, message):
    with pytest.raises(CorpusError, match=message):
        tagged("Via Paris.", *spans)


def test_columns():
    assert span_columns(Record({"id": 1, "text": "a", "entities": []}, "")) == ("text", "entities")
    assert span_columns(Record({"body": "a", "marks": []}, ""), "body", "marks") == ("body", "marks")
    assert span_columns(Record({"text": "a b", "tokens": ["a", "b"], "labels": ["O", "O"]}, "")) is None
    assert span_columns(Record({"text": "a", "label": "good"}, "")) is None


def test_a_file_of_spans_is_read_as_sentences(tmp_path):
    rows = [{"text": "Nice.", "entities": []}, {"text": "In Nice", "entities": [{"start": 3, "end": 6, "type": "LOC"}]}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = []
    found = list(read_sentences(tmp_path / "a.jsonl", TaggedTextsConfig(), lines))
    assert [(one.text, one.words, one.tags) for one in found] == [
        ("Nice.", ("Nice", "."), ("O", "O")),
        ("In Nice", ("In", "Nice"), ("O", "B-LOC")),
    ]
    assert lines[0] == "columns      text=text, spans of characters=entities"
    assert lines[1].endswith("to whole words: 1")
