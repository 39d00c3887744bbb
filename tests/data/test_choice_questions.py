import itertools
import json

import numpy as np
import pytest

from bert_jax.data.choice_questions import (
    ChoiceQuestion,
    ChoiceQuestionsConfig,
    encode_choice_questions,
    read_choice_questions,
)
from bert_jax.data.labelled import LabelledStream, LabelledTexts, Rows
from bert_jax.errors import CorpusError

ROW = {"question": "What?", "candidates": ["this", "that", "both"], "answer": 1}


def read(tmp_path, *rows, labelled=True, **settings):
    file, lines = tmp_path / "a.jsonl", []
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_choice_questions(file, ChoiceQuestionsConfig(**settings), lines, labelled)
    return [(one.text, one.candidates, one.answer) for one in found], lines


@pytest.mark.parametrize(
    ("answer", "settings"),
    [(1, {}), ("1", {}), ("B", {}), ("b", {}), ("that", {}), (" that ", {}), (2, {"first_answer": 1})],
)
def test_an_answer_is_a_number_a_letter_or_a_text(tmp_path, answer, settings):
    (found,), lines = read(tmp_path, ROW | {"answer": answer}, **settings)
    assert found == ("What?", ("this", "that", "both"), 1)
    assert lines == [
        "columns      question=question, candidates=candidates, answer=answer (guessed from question, candidates,"
        " answer)"
    ]


def test_the_number_of_candidates_may_differ(tmp_path):
    found, _ = read(tmp_path, ROW, ROW | {"candidates": ["a", "b"], "answer": 0})
    assert [len(candidates) for _, candidates, _ in found] == [3, 2]
    assert read(tmp_path, ROW | {"candidates": ["a"], "answer": None}, labelled=False)[0] == [("What?", ("a",), None)]


def test_usual_data_sets_need_no_names_of_columns(tmp_path):
    copa = {
        "premise": "It rained.",
        "choice1": "I ran.",
        "choice2": "I sang.",
        "question": "effect",
        "label": 0,
        "idx": 4,
    }
    assert read(tmp_path, copa)[0] == [("It rained. effect", ("I ran.", "I sang."), 0)]
    assert read(tmp_path, copa | {"label": "choice2"})[0][0][2] == 1
    swag = {"sent1": "A", "sent2": "B", "startphrase": "A B", "ending0": "c", "ending1": "d", "label": 1}
    assert read(tmp_path, swag)[0] == [("A B", ("c", "d"), 1)]
    hella = {"ind": 3, "ctx_a": "A", "ctx_b": "b", "ctx": "A b", "endings": ["c", "d", "e"], "label": "2"}
    assert read(tmp_path, hella)[0] == [("A b", ("c", "d", "e"), 2)]
    race = {"article": "Long.", "question": "Why?", "options": ["c", "d"], "answer": "A"}
    assert read(tmp_path, race)[0] == [("Long. Why?", ("c", "d"), 0)]
    arc = {"question": "Why?", "choices": {"text": ["c", "d"], "label": ["1", "2"]}, "answerKey": "1"}
    assert read(tmp_path, arc)[0] == [("Why?", ("c", "d"), 0)]
    social = {"context": "C.", "question": "Why?", "answerA": "c", "answerB": "d", "label": "2"}
    assert read(tmp_path, social, first_answer=1)[0] == [("C. Why?", ("c", "d"), 1)]


def test_columns_that_are_named(tmp_path):
    row = {"q": "Why?", "one": "a", "two": "b", "right": 0, "answer": 1}
    settings = {"question_column": "q", "candidates_column": "two,one", "answer_column": "right"}
    assert read(tmp_path, row, **settings)[0] == [("Why?", ("b", "a"), 0)]
    with pytest.raises(CorpusError, match=r"no column 'three', only .*: correct data\.candidates_column"):
        read(tmp_path, row, **settings | {"candidates_column": "one,three"})


def test_a_table_may_have_empty_cells_after_the_last_candidate(tmp_path):
    file = tmp_path / "a.tsv"
    file.write_text("question\tchoice_a\tchoice_b\tchoice_c\tanswer\nWhy?\ta\tb\t\tB\nHow?\ta\tb\tc\tc\n")
    found = list(read_choice_questions(file, ChoiceQuestionsConfig(), []))
    assert [(one.candidates, one.answer) for one in found] == [(("a", "b"), 1), (("a", "b", "c"), 2)]
    file.write_text("question\tchoice_a\tchoice_b\tchoice_c\tanswer\nWhy?\ta\t\tc\tB\n")
    with pytest.raises(CorpusError, match=r"line 2: .* holds a candidate that is empty"):
        list(read_choice_questions(file, ChoiceQuestionsConfig(), []))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW | {"answer": 3}, r"line 1: the answer '3' is none of the 3 candidates: give the number of the right one"),
        (ROW | {"answer": -1}, r"the answer '-1' is none of the 3 candidates"),
        (ROW | {"answer": None}, r"line 1 has no answer \('answer' is empty\): give one, or remove it"),
        (ROW | {"answer": True}, r"the answer 'True' is none"),
        (ROW | {"answer": "Both"}, r"the answer 'Both' is none"),
        (ROW | {"candidates": ["1", "0"], "answer": "1"}, r"the answer '1' may be any of several candidates"),
        (ROW | {"candidates": ["a", "a"], "answer": "a"}, r"the answer 'a' may be any of several candidates"),
        (ROW | {"candidates": ["a"], "answer": 0}, r"line 1 has a single candidate, so that nothing is chosen"),
        (ROW | {"candidates": []}, r"line 1: 'candidates' has no candidates"),
        (ROW | {"candidates": ["a", " "]}, r"'candidates' holds a candidate that is empty or no text"),
        (ROW | {"candidates": ["a", 3]}, r"'candidates' holds a candidate that is empty or no text"),
        (ROW | {"candidates": {"text": ["a", "b"], "label": None}, "answer": "c"}, r"the answer 'c' is none of the 2"),
        (ROW | {"candidates": {"text": None, "label": 3}}, r"'candidates' holds a candidate that is empty or no text"),
        (ROW | {"question": " "}, r"line 1: 'question' is empty: give a text"),
        (ROW | {"question": None}, r"line 1: 'question' is no text"),
        ({"question": "a", "answer": 0}, r"usual for the candidates .*data\.candidates_column"),
        ({"question": "a", "candidates": ["b", "c"]}, r"usual for the answer .*data\.answer_column"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, row, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, row)


def test_an_answer_that_is_a_number_to_json_is_a_place_whatever_the_texts_are(tmp_path):
    assert read(tmp_path, ROW | {"candidates": ["1", "0"], "answer": 1})[0][0][2] == 1


def questions(corpus, counts):
    word = next(p for p in corpus.tokenizer.vocabulary if p.isalpha() and len(corpus.tokenizer.encode(p)) == 1)
    texts = [" ".join([word] * n) for n in range(1, 5)]
    return [
        ChoiceQuestion(texts[1], tuple(texts[i % 4] for i in range(n)), 0, f"row {j}") for j, n in enumerate(counts)
    ]


def test_candidates_of_a_question_share_a_row_in_every_epoch(corpus):
    counts = [2, 5, 3, 1, 4, 2, 2, 3, 5, 2]
    texts, groups = encode_choice_questions(questions(corpus, counts), corpus.tokenizer, 32, 64)
    columns = {"group": groups, "used": np.ones_like(groups), "place": np.arange(len(groups))}
    rows = Rows(LabelledTexts(texts, columns, groups=groups), corpus.tokenizer, 64, 10, (7,))
    assert len(rows) < len(counts)
    few = Rows(LabelledTexts(texts, columns, groups=groups), corpus.tokenizer, 64, 6, (7,))
    assert sorted(few.all()["used"].sum(1).tolist()) == sorted(counts)  # two of the largest have no room
    stream = LabelledStream(rows, 1, {}, ())
    seen = []
    for step in range(2 * len(rows)):
        batch = stream.batch(step)
        used = batch["used"][0] > 0
        found, numbers = np.unique(batch["group"][0][used], return_counts=True)
        assert numbers.tolist() == [counts[i] for i in found]
        seen.append(batch["place"][0][used].tolist())
    for epoch in (seen[: len(rows)], seen[len(rows) :]):
        assert sorted(itertools.chain(*epoch)) == list(range(len(groups)))
    assert seen[: len(rows)] != seen[len(rows) :]


def test_what_does_not_fit_in_a_row_is_cut_and_counted(corpus):
    (one,) = questions(corpus, [1])
    long = ChoiceQuestion(
        one.text, (" ".join([one.candidates[0]] * 60), one.candidates[0], " ".join([one.candidates[0]] * 40)), 0, "a"
    )
    texts, groups = encode_choice_questions([one, long], corpus.tokenizer, 64, 64)
    assert groups.tolist() == [0, 1, 1, 1]
    assert texts.segments.length.tolist() == [6, 29, 6, 29]
    assert texts.num_cut == 2
    many = ChoiceQuestion(one.text, (long.candidates[0],) * 5, 0, "file, line 3")
    with pytest.raises(
        CorpusError, match=r"file, line 3 has 5 candidates, which leaves 12 tokens for each: raise data\.seq"
    ):
        encode_choice_questions([one, many], corpus.tokenizer, 64, 64)


def test_problems_of_the_config():
    fine = {"train": "a.jsonl", "validation": "b.jsonl"}
    assert ChoiceQuestionsConfig(**fine).problems() == []
    assert len(ChoiceQuestionsConfig(**fine, longest_example=129).problems()) == 1
