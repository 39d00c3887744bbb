"""Question answering, from files to answers: on passages in which one of two words is the answer, if it is there."""

import dataclasses
import gzip
import json
import pathlib

import numpy as np
import pytest

from bert_jax import load
from bert_jax.data.passage_questions import PassageQuestion
from bert_jax.data.question_windows import cut_questions
from bert_jax.errors import CheckpointError, ConfigError, CorpusError
from bert_jax.labelled_results import evaluate, write_predictions
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.answer_scores import best_match
from bert_jax.objectives.answer_windows import Asked
from bert_jax.objectives.spans import Spans
from bert_jax.reporting import write_report
from bert_jax.tasks.question_answering import QuestionAnswering, QuestionAnsweringConfig
from bert_jax.training.run import prepare, run
from tests.tasks.test_pretraining import results

KIND = QuestionAnswering()
S = 48  # most passages have several windows


@pytest.fixture(scope="module")
def words(corpus):
    return [piece for piece in corpus.tokenizer.vocabulary if piece.isalpha() and len(piece) > 2][:20]


def make_questions(words, count, seed, none=0.3, longest=60):
    """SQuAD's JSON of questions whose answer is one of the first two words; some have none."""
    rng = np.random.default_rng(seed)
    paragraphs = []
    for i in range(count):
        text, answers = list(rng.choice(words[2:], rng.integers(3, longest))), []
        if rng.random() > none:
            place, word = int(rng.integers(len(text) + 1)), words[int(rng.integers(2))]
            text.insert(place, word)
            start = len("  ".join([*text[:place], ""]))
            answers = [{"text": word, "answer_start": start}] * int(rng.integers(1, 3))
        asked = {"id": f"q{i}", "question": words[2], "answers": answers, "is_impossible": not answers}
        paragraphs.append({"context": "  ".join(text), "qas": [asked]})
    return {"version": "v2.0", "data": [{"title": "words", "paragraphs": paragraphs}]}


@pytest.fixture(scope="module")
def files(words, tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    for seed, (name, count) in enumerate({"train": 240, "validation": 60, "test": 40}.items()):
        (folder / f"{name}.json").write_text(json.dumps(make_questions(words, count, seed)))
    return folder


@pytest.fixture
def settings(files, corpus_path):
    return small(files, corpus_path)


def small(files, corpus_path):
    """From scratch; runs of seconds."""
    config = QuestionAnsweringConfig(
        model=ModelConfig(
            num_layers=1, hidden_size=32, num_heads=2, max_positions=S, initializer_range=0.2, dropout=0.0
        )
    )
    config.data.train, config.data.validation = f"{files}/train.json", f"{files}/validation.json"
    config.data.tokenizer, config.data.sequence_length = f"{corpus_path}/tokenizer", S
    config.data.max_question_tokens, config.data.max_answer_tokens = 6, 3
    config.optimizer.learning_rate = 1e-2
    config.train.num_steps, config.train.batch_size, config.train.log_every = 12, 8, 4
    config.train.checkpoint_every, config.eval.every = 4, 6
    return config


@pytest.fixture(scope="module")
def finished(files, corpus_path, tmp_path_factory):
    """A run that has learned, with its report."""
    config = small(files, corpus_path)
    config.data.test = f"{files}/test.json"
    config.train.num_steps, config.train.num_epochs = None, 12.0
    config.train.checkpoint_every = config.eval.every = 1000
    folder = tmp_path_factory.mktemp("finished") / "run"
    scores = run(KIND, config, folder)
    return folder, scores, write_report(folder)


def read_rows(folder, split):
    return [json.loads(line) for line in (folder / f"predictions/{split}.jsonl").read_text().splitlines()]


def test_it_learns_and_says_so_beside_the_baseline(finished):
    _, scores, text = finished
    assert scores["eval/span_f1"] > 0.85 > 0.5 > scores["eval/span_constant_f1"]
    assert scores["eval/span_unanswerable"] > 0.5
    assert scores["eval/span_exact_answerable"] > 0.8
    for part in (
        "answers, F1",
        "answers, exact match",
        "(none, or the most frequent place)",
        "find the answers to 240 questions in their passages, or to say that there is none",
        "## Test scores",
        "| the passage has | questions | exactly right | partly right | wrong | no answer said |",
    ):
        assert part in text, part


def test_predictions_are_those_that_were_scored_with_the_threshold_of_the_validation_file(finished):
    folder, scores, _ = finished
    stored = json.loads((folder / "predictions/scores.json").read_text())["scores"]
    for split in ("validation", "test"):
        rows = read_rows(folder, split)
        for name in ("exact", "f1"):
            assert np.mean([row[name] for row in rows]) == pytest.approx(stored[split][f"span_{name}"])
        assert stored[split]["span_null_threshold"] == scores["eval/span_null_threshold"]
        for row in rows:
            assert (row["predicted"] == "") == (row["null_score"] > scores["eval/span_null_threshold"])
    assert stored["validation"]["span_f1"] == pytest.approx(scores["eval/span_f1"], abs=1e-5)
    row = next(row for row in read_rows(folder, "test") if row["predicted"])
    assert list(row) == [
        *(
            "id",
            "question",
            "gold",
            "predicted",
            "start",
            "end",
            "probability",
            "null_score",
            "exact",
            "f1",
            "candidates",
        )
    ]
    assert row["candidates"][0] == {name: row[{"text": "predicted"}.get(name, name)] for name in row["candidates"][0]}


def test_answers_are_cut_from_passages_of_any_length(finished, words):
    """The answer is in the middle of 900 words, in one of many windows."""
    model = load(finished[0])
    before, after = ("  ".join(words[2:] * 25) for _ in range(2))
    context = f"{before}\u3000{words[0]}\t {after}"
    found = model.answer(words[2], context, top=3)
    assert (found.text, context[found.start : found.end]) == (words[0], words[0])
    assert len(found.candidates) == 3
    assert found.candidates[0].text == found.text
    assert [one.probability for one in found.candidates] == sorted(
        (one.probability for one in found.candidates), reverse=True
    )
    assert sum(one.probability for one in model.answer(words[2], context, 20).candidates) < 1
    for one in found.candidates:
        assert context[one.start : one.end] == one.text
    # One passage for several questions; company changes nothing.
    alone, again = model.answer([words[2], words[2]], context, top=3)
    assert alone.text == again.text == found.text
    assert alone.probability == pytest.approx(found.probability, rel=1e-4)
    assert model.answer([], []) == []


def test_no_answer_is_said_above_the_threshold(finished, words):
    model = load(finished[0])
    contexts = ["  ".join(words[2:]), f"{words[5]} {words[1]} {words[6]}"]
    none, some = model.answer([words[2]] * 2, contexts)
    assert (none.text, none.start, none.end, some.text) == ("", 0, 0, words[1])
    assert none.candidates
    assert none.null_score > some.null_score
    assert model.answer(words[2], contexts[0], threshold=1e6).text == none.candidates[0].text
    assert model.answer(words[2], contexts[1], threshold=-1e6).text == ""
    for nothing in ("", " \u200b\n"):
        found = model.answer(words[2], nothing)
        assert (found.text, found.candidates, found.probability) == ("", (), 1.0)


def test_a_question_that_is_longer_than_a_row_loses_its_end(finished, words):
    model = load(finished[0])
    context = "  ".join([*words[2:], words[0]])
    assert model.answer(" ".join([words[2]] * 300), context).text == words[0]


def test_the_threshold_stays_with_a_saved_model(finished, words, tmp_path):
    model = load(finished[0])
    (spans,) = model.objectives
    assert isinstance(spans, Spans)
    assert spans.null_threshold is not None
    model.save_checkpoint(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.objectives == model.objectives
    context = "  ".join([*words[2:], words[0]])
    assert again.answer(words[2], context) == model.answer(words[2], context)


def test_new_questions_from_a_file_are_answered_without_theirs(finished, words, tmp_path):
    rows = [{"question": words[2], "context": f"{words[3]} {words[i % 2]} {words[4]}"} for i in range(3)]
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert write_predictions(load(finished[0]), tmp_path / "new.jsonl", tmp_path / "said.jsonl") == 3
    said = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert [row["predicted"] for row in said] == [words[i % 2] for i in range(3)]
    assert not any("gold" in row for row in said)
    (tmp_path / "dev.json.gz").write_bytes(gzip.compress(json.dumps(make_questions(words, 5, 9)).encode()))
    assert write_predictions(load(finished[0]), tmp_path / "dev.json.gz", tmp_path / "dev.jsonl") == 5
    assert "exact" not in json.loads((tmp_path / "dev.jsonl").read_text().splitlines()[0])


def test_an_interrupted_run_ends_like_a_straight_one(settings, tmp_path):
    run(KIND, settings, tmp_path / "straight")
    for stop in (5, None):
        settings.train.stop_after = stop
        run(KIND, settings, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "straight")


def test_another_model_does_not_answer(finished):
    model = dataclasses.replace(load(finished[0]), objectives=())
    with pytest.raises(CheckpointError, match="not trained to answer questions"):
        model.answer("Who?", "Nobody.")
    with pytest.raises(ConfigError, match="There are 2 questions, but 1 passages"):
        load(finished[0]).answer(["Who?", "What?"], ["Nobody."])


def encoded(settings, tokenizer, *examples, split="train"):
    """The columns of examples, their windows, and what is told."""
    lines = []
    found = KIND.encode(settings, (Spans(has_unanswerable=True),), examples, tokenizer, split, lines)
    return found, lines


def question(context, answer, words):
    start = context.find(answer) if answer else None
    span = None if start is None or start < 0 else (start, start + len(answer))
    return PassageQuestion("", words[2], context, (answer,) if answer else (), span, "here")


def test_a_window_learns_the_whole_answer_or_none(settings, corpus, words):
    """Each window that holds all of the answer learns it; the others, and those that hold a part, learn [CLS]."""
    tokens = (words[2:] * 9)[:100]
    tokens[40:43] = words[0], words[1], words[0]
    context, answer = "  ".join(tokens), "  ".join(tokens[40:43])
    found, _ = encoded(settings, corpus.tokenizer, question(context, answer, words), split="validation")
    learned = part = 0
    for window, start, end in zip(
        found.columns["span_windows"], found.columns["span_starts"], found.columns["span_ends"], strict=True
    ):
        inside = [tuple(place) in set(map(tuple, window.offsets.tolist())) for place in whole(corpus, context)[40:43]]
        if all(inside):
            learned += 1
            assert window.cut(start, end) == answer
        else:
            assert (start, end) == (0, 0)
            part += any(inside)
    assert learned >= 1
    assert len(found.columns["span_starts"]) > learned + part >= 1
    assert (found.columns["span_weights"] == 1).all()


def whole(corpus, context):
    """The characters of each word of a passage whose words are single tokens."""
    offsets = corpus.tokenizer.encode_with_offsets(context)[1].tolist()
    assert len(offsets) == len(context.split())
    return offsets


def test_answers_that_cannot_be_learned_are_counted_and_not_learned_as_none(settings, corpus, words):
    context = "  ".join(words * 5)
    good, none = question(context, words[0], words), question(context, "", words)
    lost, long = question(context, "elsewhere", words), question(context, context, words)
    found, lines = encoded(settings, corpus.tokenizer, good, none, lost, long)
    kept = len(cut_questions([Asked(0, context)] * 2, [words[2]] * 2, corpus.tokenizer, S, 6, 19).windows)
    assert len(found.texts.segments) == len(found.columns["span_starts"]) == kept
    assert "train questions left out of training, because" in "\n".join(lines)
    assert "longer than a window: 2 (50.0 %)" in "\n".join(lines)
    assert (
        "long         train answers with more than data.max_answer_tokens=3 tokens, never given whole: 1 (25.0 %)"
        in "\n".join(lines)
    )
    assert "span_windows" not in found.columns
    found, lines = encoded(settings, corpus.tokenizer, good, none, lost, long, split="validation")
    assert found.columns["span_weights"].sum() == kept < len(found.columns["span_weights"])
    assert "validation questions scored, but not in the loss, because" in "\n".join(lines)
    with pytest.raises(CorpusError, match="has no answer that can be learned"):
        encoded(settings, corpus.tokenizer, lost)
    asked = dataclasses.replace(good, question=" ".join(words))
    assert "train questions with more than 6 tokens, which lose their ends: 1 (100.0 %)" in "\n".join(
        encoded(settings, corpus.tokenizer, asked)[1]
    )


def on(settings, tmp_path, train, validation):
    for name, value in (("train", train), ("validation", validation)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False))
        setattr(settings.data, name, f"{tmp_path}/{name}.json")
    return settings


def test_a_model_that_always_had_an_answer_always_answers(settings, words, tmp_path):
    config = on(settings, tmp_path, make_questions(words, 40, 3, none=0.0), make_questions(words, 20, 4, none=0.5))
    told = "\n".join(prepare(KIND, config).task.stream.describe(1))
    assert "warning      some validation questions have no answer, but all training questions have one" in told
    config.train.num_steps = 2
    scores = run(KIND, config, tmp_path / "run")
    assert "eval/span_null_threshold" not in scores
    model = load(tmp_path / "run")
    assert all(model.answer([words[2]] * 3, ["  ".join(words[2:])] * 3)[i].text for i in range(3))
    assert model.answer(words[2], words[3], threshold=-1e9).text == ""


def test_scripts_without_spaces_are_scored_by_character_and_by_word(settings, tmp_path):
    context = "天氣很好。今天天氣不好。"
    texts = [("天氣很好。", 0), ("天氣", 8), ("不好", 10)]
    qas = [{"question": f"第{i}?", "answers": [{"text": t, "answer_start": p}]} for i, (t, p) in enumerate(texts)]
    asked = {"data": [{"paragraphs": [{"context": context, "qas": qas}]}]}
    config = on(settings, tmp_path, asked, asked)
    task = prepare(KIND, config).task
    assert [score.name for score in task.scores][:5] == [
        "span_f1", "span_exact", "span_f1_words", "span_exact_words", "span_f1_run"
    ]  # fmt: skip
    assert json.loads(task.files["answers.json"]) == {"has_unanswerable": False, "units": "characters"}
    config.data.units = "words"
    assert [score.name for score in prepare(KIND, config).task.scores][:3] == ["span_f1", "span_exact", "span_accuracy"]


def test_a_file_without_answers_is_refused(settings, words, tmp_path):
    config = on(settings, tmp_path, make_questions(words, 4, 0, none=1.0), make_questions(words, 4, 1))
    with pytest.raises(CorpusError, match="has no question with an answer"):
        run(KIND, config, tmp_path / "run")
    config = on(settings, tmp_path, make_questions(words, 4, 0), make_questions(words, 4, 1, none=1.0))
    with pytest.raises(CorpusError, match="nothing has to be learned for a perfect score"):
        run(KIND, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_evaluate_scores_any_file(finished, files):
    model = load(finished[0])
    rows = read_rows(finished[0], "test")
    found = evaluate(model, pathlib.Path(files) / "test.json")
    expected = np.mean([best_match("words", row["gold"], row["predicted"]).f1 for row in rows])
    assert found["span_f1"] == pytest.approx(expected)
