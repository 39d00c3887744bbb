import dataclasses
import functools
import types

import jax
import numpy as np
import pytest

from bert_jax.errors import CheckpointError, ConfigError, TokenizerError
from bert_jax.inspection import attribution
from bert_jax.inspection.attribution import Attribution, integrated_gradients, occlusion
from bert_jax.inspection.targets import (
    AnswerSpan,
    Class,
    MaskedWord,
    Number,
    Similarity,
    SummarySentence,
    Tag,
    usual_targets,
)
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.labels import NUMBER, SEVERAL, Labels
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.objectives.spans import Spans
from bert_jax.objectives.summary_sentences import SummarySentences
from tests.inspection.small import WORDS, model

NAMES = ("bad", "no opinion", "good")
PAIR = ("the cats sat", "unhappy dog.")
TASKS = {
    "a masked word": ((MaskedWords(), SentencePairs()), "the cat [MASK] [MASK].", MaskedWord("down", mask=1)),
    "a class": ((Labels(names=NAMES),), "unhappy cats.", Class("no opinion")),
    "one of several labels": ((Labels(names=NAMES, choose=SEVERAL),), PAIR, Class("good")),
    "the next sentence": ((SentencePairs(),), PAIR, Class()),
    "a number": ((Labels(names=("warmth",), choose=NUMBER),), PAIR, Number()),
    "a candidate": ((Choices(),), PAIR, Number()),
    "a tag": ((Labels(names=("O", "B-CAT"), of_tokens=True),), "the unhappy cat sat", Tag("cat", "B-CAT")),
    "an answer": ((Spans(),), ("the cat", "the unhappy dogs sat down."), AnswerSpan("unhappy dogs")),
    "a sentence of a summary": (
        (SummarySentences(),),
        ("the cat sat.", "unhappy dogs sat down.", "the dog."),
        SummarySentence(1),
    ),
    "a similarity": ((), "the cat sat.", Similarity("unhappy dogs")),
}


@functools.cache
def trained_for(task):
    """One model for all tests, whose functions are then compiled once."""
    return model(*TASKS[task][0], num_layers=1)


@pytest.mark.parametrize("task", TASKS)
def test_tokens_add_up_to_the_change_of_the_score(task):
    _, text, target = TASKS[task]
    found = integrated_gradients(trained_for(task), text, target)
    assert abs(found.gap) < 0.01 * abs(found.change)
    np.testing.assert_allclose(found.scores.sum() + found.gap, found.change, atol=1e-5)
    for token, score in zip(found.tokens, found.scores, strict=True):
        assert (score == 0) == (token in ("[CLS]", "[SEP]", "[MASK]")), token


@pytest.mark.parametrize("task", [task for task in TASKS if task != "a similarity"])
def test_the_score_is_what_the_model_says(task):
    """Of the text itself, by the methods that people call."""
    _, text, target = TASKS[task]
    bert = trained_for(task)
    question = target.question(bert, text)
    found = float(_score(bert, question))
    said = {
        "a masked word": lambda: np.log(_likely(bert.fill_mask(text, top=14)[1], "down")),
        "a class": lambda: np.log(bert.classify([text])[0].probabilities["no opinion"]),
        "one of several labels": lambda: np.log(bert.classify([text])[0].probabilities["good"]),
        "the next sentence": lambda: np.log(max(p := bert.next_sentence(*text), 1 - p)),
        "a number": lambda: bert.regress([text])[0],
        "a candidate": lambda: bert.head_outputs([text], "choice")[0, 0],
        "a tag": lambda: _tag_said(bert, text),
        "an answer": lambda: np.log(_span_said(bert, question)),
        "a sentence of a summary": lambda: np.log(_summary_said(bert, text)[1]),
    }
    np.testing.assert_allclose(found, said[task](), rtol=1e-4, atol=1e-5)


def _likely(guesses, word):
    return next(guess.probability for guess in guesses if guess.word == word)


def _tag_said(bert, text):
    """The log-probability of the tag of "cat", whichever tag the model gives to it."""
    name, probability = bert.tag_words([text.split()])[0][2]
    return np.log(probability if name == "B-CAT" else 1 - probability)


def _span_said(bert, question):
    """The probability of start and end, among all tokens of the row."""
    starts, ends = (np.asarray(jax.nn.softmax(each[0, 0])) for each in bert.predict("span", question.batch))
    first, last = question.index
    return starts[first] * ends[last]


def _summary_said(bert, sentences):
    run = types.SimpleNamespace(data=types.SimpleNamespace(language="en", overlap=0))
    return dataclasses.replace(bert, run=run).summarize(list(sentences)).probabilities


def test_a_sentence_of_a_summary_is_asked_about_in_its_document():
    bert = trained_for("a sentence of a summary")
    sentences = list(TASKS["a sentence of a summary"][1])
    run = types.SimpleNamespace(data=types.SimpleNamespace(language="en", overlap=0))
    bert = dataclasses.replace(bert, run=run)
    question = SummarySentence(2).question(bert, sentences)
    assert question.row.tokens[int(question.index) :] == ["[CLS]", "the", "dog", ".", "[SEP]"]
    best = int(bert.summarize(sentences).probabilities.argmax())
    assert SummarySentence().question(bert, sentences).title == f"in the summary: {sentences[best]}"
    text = "The cat sat. Unhappy dogs sat down. The dog."
    assert [one.sentence for one in usual_targets(bert, text)] == list(bert.summarize(text).indices)
    assert SummarySentence(2).question(bert, text).index == question.index
    with pytest.raises(ConfigError, match="sentence=3 is not among the 3 sentences"):
        SummarySentence(3).question(bert, sentences)
    with pytest.raises(TokenizerError, match="has 66 tokens, but the model takes at most 64"):
        SummarySentence(0).question(bert, ["the cat sat down"] * 11)


def test_few_steps_leave_a_gap_that_is_told():
    _, text, target = TASKS["a class"]
    bert = trained_for("a class")
    gaps = [abs(integrated_gradients(bert, text, target, steps).gap) for steps in (1, 4, 16)]
    assert gaps[0] > gaps[1] > gaps[2]
    few = integrated_gradients(bert, text, target, 1)
    assert f"change {few.change:+.3f} nats, gap {100 * few.gap / few.change:+.2f} %" in repr(few)
    with pytest.raises(ConfigError, match="num_steps=0 must be at least 1"):
        integrated_gradients(bert, text, target, 0)


def test_the_summary_names_the_unit_and_leaves_tiny_gaps_out():
    found = Attribution([], np.zeros(0), 7.5018, -0.0003, "", "", np.zeros(0, bool), "nats")
    assert found.summary == "change +7.502 nats, gap below 0.01 %"
    assert dataclasses.replace(found, gap=-0.5, unit="").summary == "change +7.502, gap -6.67 %"
    objectives, text, target = TASKS["a number"]
    assert target.question(model(*objectives), text).unit == ""


def test_memory_is_bounded_by_the_copies_at_once(monkeypatch):
    _, text, target = TASKS["a class"]
    bert = trained_for("a class")
    expected = integrated_gradients(bert, text, target, 20)
    monkeypatch.setattr(attribution, "TOKENS_AT_ONCE", 48)  # three copies; 20 steps are no multiple of them
    found = integrated_gradients(bert, text, target, 20)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-6)


def test_a_model_in_bfloat16_is_attributed_in_float32():
    _, text, target = TASKS["a class"]
    bert = trained_for("a class")
    rounded = dataclasses.replace(bert, config=dataclasses.replace(bert.config, dtype="bfloat16"))
    expected, found = (integrated_gradients(one, text, target, 16).scores for one in (bert, rounded))
    np.testing.assert_array_equal(found, expected)


def test_occlusion_puts_padding_in_place_of_a_token():
    _, text, target = TASKS["a class"]
    bert = trained_for("a class")
    found = occlusion(bert, text, target)
    row = target.question(bert, text).row

    def score(ids):
        logits = bert.predict("label", row.batch | {"token_ids": ids})[0, 0]
        return float(jax.nn.log_softmax(logits)[1])

    whole = row.batch["token_ids"]
    for place in range(1, len(row.tokens) - 1):
        without = whole.copy()
        without[0, place] = bert.tokenizer.pad_id
        np.testing.assert_allclose(found.scores[place], score(whole) - score(without), atol=1e-5)
    assert found.scores[0] == found.scores[-1] == 0
    nothing = np.where(np.arange(whole.shape[1]) % (len(row.tokens) - 1) == 0, whole, bert.tokenizer.pad_id)
    np.testing.assert_allclose(found.change, score(whole) - score(nothing), atol=1e-5)


def test_a_target_says_what_it_is_and_what_it_misses():
    words, tagger = model(MaskedWords()), model(Labels(names=("O", "B-CAT"), of_tokens=True))
    guess = words.fill_mask("the [MASK]")[0][0]
    question = MaskedWord().question(words, "the [MASK]")
    assert question.title == f"[MASK] = {guess.word}"
    np.testing.assert_allclose(np.exp(float(_score(words, question))), guess.probability, rtol=1e-4)
    with pytest.raises(TokenizerError, match="'cats' is not one token of the vocabulary, but cat ##s"):
        MaskedWord("cats").question(words, "the [MASK]")
    with pytest.raises(TokenizerError, match="has 1 \\[MASK\\], so there is none with number 1"):
        MaskedWord(mask=1).question(words, "the [MASK]")
    with pytest.raises(CheckpointError, match="not trained to label texts"):
        Class().question(words, "the cat")
    with pytest.raises(ConfigError, match="is a question about two texts: give a pair"):
        Class().question(model(SentencePairs()), "the cat")
    assert Class("the second text follows").question(model(SentencePairs()), PAIR).title == "the second text follows"
    assert MaskedWord("##s").question(words, "the [MASK]").index[0] == WORDS.index("##s")
    with pytest.raises(ConfigError, match="tag='CAT' is not one of O, B-CAT"):
        Tag(0, "CAT").question(tagger, "the cat")
    with pytest.raises(ConfigError, match="word='dog' is not among the 2 words"):
        Tag("dog").question(tagger, "the cat")
    with pytest.raises(ConfigError, match="does not contain 'bird'"):
        AnswerSpan("bird").question(model(Spans()), ("the cat", "the dogs sat."))


def test_the_usual_targets_are_those_of_the_task():
    for task, expected in (
        ("a masked word", [MaskedWord(mask=0), MaskedWord(mask=1)]),
        ("a class", [Class()]),
        ("a number", [Number()]),
        ("a candidate", [Number()]),
        ("an answer", [AnswerSpan()]),
        ("a similarity", []),
        ("the next sentence", [Class()]),
    ):
        objectives, text, _ = TASKS[task]
        assert usual_targets(model(*objectives), text) == expected
    words = model(MaskedWords(), SentencePairs())
    assert usual_targets(words, PAIR) == [Class()]
    assert usual_targets(words, "the cat") == []
    tagger = model(Labels(names=("O", "B-CAT"), of_tokens=True))
    text = "the unhappy cat sat"
    found = usual_targets(tagger, text)
    assert [one.word for one in found] == [text[: one.start].count(" ") for one in tagger.tag(text)]


def _score(bert, question):
    return question.score(bert.predict(question.objective, question.batch), question.index)[0]


@pytest.mark.parametrize("separators", [1, 2])
def test_an_answer_is_found_among_the_tokens_of_pairs_of_every_form(separators):
    """One separator as in BERT, two as in RoBERTa."""
    bert = model(Spans())
    bert.tokenizer.separators_between = separators
    text = ("the cat", "the unhappy dogs sat down.")
    question = AnswerSpan("unhappy dogs").question(bert, text)
    first, last = question.index
    assert question.row.tokens[first : last + 1] == ["un", "##happy", "dog", "##s"]
    assert question.row.tokens.count("[SEP]") == separators + 1
    assert AnswerSpan("").question(bert, text).index.tolist() == [0, 0]
    answer = bert.answer(*text)
    first, last = AnswerSpan().question(bert, text).index
    said = "".join(question.row.tokens[first : last + 1]).replace("##", "")
    assert said == answer.text.replace(" ", "")
