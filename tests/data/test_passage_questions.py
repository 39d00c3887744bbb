"""Questions from SQuAD's files in all their forms, and from tables."""

import dataclasses
import gzip
import json
import re

import numpy as np
import pytest

from bert_jax.data.passage_questions import PassageQuestionsConfig, read_passage_questions
from bert_jax.errors import CorpusError
from tests.data.tables.small_data_set import write_data_set

CONTEXT = "Rollo was a Norse leader. The Normans came from Denmark, Iceland and Norway; Rollo led them."


def answer(text, start):
    return {"text": text, "answer_start": start}


def squad(*questions, **outer):
    return {"version": "v2.0", "data": [{"title": "Normans", "paragraphs": [{"context": CONTEXT, "qas": questions}]}]}


def read(folder, value, name="dev.json", labelled=True, **config):
    """The questions of a file with this content, and what is told of them."""
    content = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    (folder / name).write_bytes(content)
    lines = []
    return list(read_passage_questions(folder / name, PassageQuestionsConfig(**config), lines, labelled)), lines


def one(folder, *answers, **more):
    """A question with these answers."""
    (found,), lines = read(folder, squad({"question": "Who?", "answers": answers, **more}))
    return found, lines


def test_both_versions_of_squad_are_read_with_all_true_answers(tmp_path):
    asked = squad(
        {"id": "a", "question": "Who?", "answers": [answer("a Norse leader", 10), answer("leader", 18)]},
        {
            "id": 7,
            "question": "Where?",
            "answers": [],
            "is_impossible": True,
            "plausible_answers": [answer("Rollo", 0)],
        },
        {"question": "From where?", "answers": [answer("Denmark", 48), answer("Iceland", 57), answer("Iceland", 57)]},
    )
    found, lines = read(tmp_path, asked)
    assert [(q.id, q.question, q.answers) for q in found] == [
        ("a", "Who?", ("a Norse leader", "leader")),
        ("7", "Where?", ()),
        ("", "From where?", ("Denmark", "Iceland", "Iceland")),
    ]
    assert [q.context for q in found] == [CONTEXT] * 3
    # The first of equally frequent answers; none; the most frequent.
    assert [CONTEXT[slice(*q.span)] if q.span else None for q in found] == ["a Norse leader", None, "Iceland"]
    assert [q.where for q in found] == [f"{tmp_path}/dev.json, question {place}" for place in ("1 (a)", "2 (7)", "3")]
    assert "no answer    1 of the 3 questions" in lines[-1]


@pytest.mark.parametrize(
    ("name", "convert"),
    [
        ("dev.json", lambda text: b"\xef\xbb\xbf" + text.encode()),
        ("dev.json", lambda text: text.encode("utf-16")),
        ("dev.json.gz", lambda text: gzip.compress(b"\xef\xbb\xbf" + text.encode())),
        ("dev.json", lambda text: gzip.compress(text.encode())),
    ],
)
def test_marks_and_compression_are_recognised(tmp_path, name, convert):
    text = json.dumps(squad({"question": "Wer? Ü", "answers": [answer("Rollo", 0)]}), ensure_ascii=False)
    (found,), _ = read(tmp_path, convert(text), name)
    assert (found.question, found.span) == ("Wer? Ü", (0, 5))


ROW = {"id": "x", "title": "N", "context": CONTEXT, "question": "Who?"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows.json", {"version": "1", "data": [ROW | {"answers": {"text": ["Norway"], "answer_start": [69]}}]}),
        ("rows.json", [ROW | {"answers": [answer("Norway", 69)]}]),
        ("row.json", ROW | {"answers": answer("Norway", "69")}),
        (
            "rows.json",
            [{"context_text": CONTEXT, "qas": [{"query_text": "Who?", "query_id": "x", "answers": ["Norway"]}]}],
        ),
        ("lines.jsonl", ROW | {"answers": {"text": ["Norway"], "answer_start": [69]}}),
        ("lines.json", (json.dumps(ROW | {"answer": "Norway"}) + "\n" + json.dumps(ROW | {"answer": "a"})).encode()),
        ("table.tsv", f"id\tquestion\tpassage\tanswer\tanswer_start\nx\tWho?\t{CONTEXT}\tNorway\t69\n".encode()),
    ],
)
def test_other_forms_give_the_same(tmp_path, name, value):
    (found, *_), _ = read(tmp_path, value, name)
    assert dataclasses.replace(found, where="") == dataclasses.replace(
        found, id="x", question="Who?", context=CONTEXT, answers=("Norway",), span=(69, 75), where=""
    )


def test_squad_of_tfds_is_read(tmp_path):
    """With its features: answers are a sequence of texts and places."""
    rows = [ROW | {"answers": [answer("Norway", 69), answer("Rollo", 0)]}, ROW | {"id": "y", "answers": []}]
    write_data_set(
        tmp_path,
        lambda features: (
            {name: features.Text() for name in ROW}
            | {"answers": features.Sequence({"text": features.Text(), "answer_start": np.int32})}
        ),
        rows,
    )
    found = list(read_passage_questions(f"tfds:{tmp_path}:train", PassageQuestionsConfig(), []))
    assert [(one.id, one.answers, one.span) for one in found] == [("x", ("Norway", "Rollo"), (69, 75)), ("y", (), None)]


def test_columns_are_chosen_by_name(tmp_path):
    rows = json.dumps({"question": "?", "text": CONTEXT, "q": "Who?", "gold": ["Norway"]}).encode()
    (found,), lines = read(tmp_path, rows, "a.jsonl", question_column="q", answers_column="gold")
    assert (found.question, found.context, found.answers) == ("Who?", CONTEXT, ("Norway",))
    assert lines[0].startswith("columns      question=q, context=text, answers=gold (guessed from")
    with pytest.raises(CorpusError, match=r"has no column 'g', only .* correct data\.answers_column"):
        read(tmp_path, rows, "a.jsonl", answers_column="g")
    with pytest.raises(CorpusError, match=r"usual for the answers .* name it by data\.answers_column"):
        read(tmp_path, rows, "a.jsonl")
    (found,), _ = read(tmp_path, rows, "a.jsonl", labelled=False, question_column="q")
    assert (found.answers, found.span) == (None, None)


def test_an_answer_elsewhere_is_repaired_where_it_occurs_once_and_counted(tmp_path):
    found, lines = one(tmp_path, answer("Norway", 3), id="n")
    assert found.span == (69, 75)
    assert "that are not where it says: 1, the first in" in lines[-1]
    assert "question 1 (n): 'Norway'; 1 of them can be learned, because they occur once in the passage" in lines[-1]
    for text, start in (("Rollo", 1), ("Rome", 0), ("Norway", -1), ("Norway", 10**9)):
        found, lines = one(tmp_path, answer(text, start))
        assert found.answers == (text,)  # it counts when predictions are scored
        assert found.span == ((69, 75) if text == "Norway" else None)
        assert "are not where it says: 1, the first in" in lines[-1]
    found, lines = one(tmp_path, "Rollo", "Norway")
    assert found.span == (69, 75)
    assert "that have no place in it: 2, the first in" in lines[-1]
    assert "1 of them can be learned, because they occur once in the passage" in lines[-1]


def test_empty_answers_are_none_and_is_impossible_decides(tmp_path):
    found, lines = one(tmp_path, answer("", -1), answer(" ", 0))
    assert (found.answers, found.span) == ((), None)
    assert "are empty and do not count: 2, the first in" in "\n".join(lines)
    found, lines = one(tmp_path, answer("Rollo", 0), is_impossible=True)
    assert (found.answers, found.span) == ((), None)
    assert "but is_impossible, which decides: 1, the first in" in "\n".join(lines)
    found, _ = read(tmp_path, squad({"question": "Who?", "answers": {"text": [], "answer_start": []}}))
    assert found[0].answers == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (squad({"question": "Who?"}), r"dev\.json, question 1: no column has a name that is usual for the answers"),
        (squad({"question": "Who?", "answers": None}), r"question 1 has no answers \('answers' is missing\)"),
        (squad({"question": " ", "answers": []}), "question 1: 'question' is empty"),
        (squad({"question": "Who?", "answers": [{"start": 1}]}), "question 1 has answers of an unknown form"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": []}]}]}, "holds no questions"),
        (b'{"data": [\n{]}', "line 2 is not JSON"),
        (b'{"data": [{"question": "\\ud83d", "context": "a", "answers": []}]}', "half of a surrogate pair"),
        ('{"data": "é"}'.encode("latin-1"), "is not UTF-8 .byte 0xe9.*iconv -f cp1252"),
        (b"", "line 1 is not JSON"),
    ],
)
def test_bad_files_are_told_with_their_place(tmp_path, value, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": 318}, r"data\.stride=318 must be 1 to 317, the room beside the longest question"),
        ({"stride": 0}, r"data\.stride=0"),
        ({"sequence_length": 100, "stride": 150}, r"data\.stride=150 must be 1 to 47"),
        ({"max_question_tokens": 0}, "must be at least 1"),
        ({"units": "letters"}, "is not one of"),
    ],
)
def test_settings_that_cannot_work_are_told(change, message):
    config = PassageQuestionsConfig(train="a.json", validation="b.json", **change)
    (problem,) = config.problems()
    assert re.search(message, problem)
    assert not PassageQuestionsConfig(train="a.json", validation="b.json").problems()
