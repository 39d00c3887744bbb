"""What a prediction is, for any task: a masked word, a class, a number, the tag of a word, the span of an answer, a
sentence of a summary, a similarity.

A target turns a text into a `Question`, a row and a score that the model gives to it. Scores are log-probabilities in
nats; numbers and the scores of candidates are themselves.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_jax.corpus.sentences import sentences_of
from bert_jax.data.question_windows import tokens_of
from bert_jax.data.words import split_words
from bert_jax.errors import CheckpointError, ConfigError, choice_problem, quoted
from bert_jax.inspection.question import (
    Question,
    class_score,
    label_score,
    number_score,
    sentence_score,
    similarity,
    span_score,
    tag_score,
    word_score,
)
from bert_jax.inspection.text_row import TextRow
from bert_jax.inspection.token_names import word_id
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.labels import NUMBER, SEVERAL, Labels
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.objectives.spans import Spans
from bert_jax.objectives.summary_sentences import SummarySentences
from bert_jax.pretrained import Pretrained, Text

PAIR_NAMES = {
    "next sentence": ("the second text follows", "the second text is from elsewhere"),
    "sentence order": ("the texts are in order", "the texts are swapped"),
}


class Target(abc.ABC):
    """Something that a model predicts."""

    @abc.abstractmethod
    def question(self, bert: Pretrained, text: Any) -> Question:
        """Returns the score of this prediction for a text.

        Raises:
          CheckpointError: the model does not predict such things.
          ConfigError: there is no such class, tag, word or answer.
          TokenizerError: the text is too long, or has no mask.
        """


@dataclasses.dataclass(frozen=True)
class MaskedWord(Target):
    """The log-probability of a word in place of a `[MASK]`.

    Attributes:
      word: a word or a piece of the vocabulary, see `word_id`; None: the most likely one.
      mask: which `[MASK]` of the text, from 0.
    """

    word: str | None = None
    mask: int = 0

    def question(self, bert: Pretrained, text: Text) -> Question:
        objective = bert.objective(MaskedWords, "predict words")
        row, tokenizer = TextRow.of(bert, text), bert.tokenizer
        columns = {"masked_positions": np.array([[row.place_of_mask(tokenizer, self.mask)]], np.int32)}
        if self.word is None:
            logits = np.asarray(bert.predict(objective.name, row.batch | columns))[0, 0, : tokenizer.vocab_size]
            word = int(logits.argmax())
        else:
            word = word_id(tokenizer, self.word)
        place = f"[MASK] {self.mask}" if (row.ids == tokenizer.mask_id).sum() > 1 else "[MASK]"
        title = f"{place} = {tokenizer.decode([word]).strip()}"
        return Question(title, row, objective.name, columns, word_score, np.array([word, tokenizer.vocab_size]))


@dataclasses.dataclass(frozen=True)
class Class(Target):
    """The log-probability of a class of a text or a pair; of one of several labels, that of having it.

    Attributes:
      name: the class; None: the most likely one.
    """

    name: str | None = None

    def question(self, bert: Pretrained, text: Text) -> Question:
        objectives = [
            one
            for one in bert.objectives
            if isinstance(one, SentencePairs)
            or (isinstance(one, Labels) and one.choose != NUMBER and not one.of_tokens)
        ]
        if not objectives:
            raise CheckpointError(f"This model was not trained to label texts: {bert!r}.")
        objective = objectives[0]
        if isinstance(objective, SentencePairs):
            if isinstance(text, str):
                raise ConfigError(
                    "Whether one text follows another is a question about two texts: give a pair of them."
                )
            row, names, score = TextRow.of(bert, text, two_types=True), PAIR_NAMES[objective.question], class_score
        else:
            row, names = TextRow.of(bert, text), objective.names
            score = label_score if objective.choose == SEVERAL else class_score
        logits = np.asarray(bert.predict(objective.name, row.batch))[0, 0]
        chosen = _index(self.name, names, logits, "class")
        title = names[chosen] if isinstance(objective, SentencePairs) else f"class {names[chosen]}"
        return Question(title, row, objective.name, {}, score, np.array(chosen))


@dataclasses.dataclass(frozen=True)
class Number(Target):
    """The number that a model predicts for a text or a pair, or its score of a candidate, as (question, candidate)."""

    def question(self, bert: Pretrained, text: Text) -> Question:
        for one in bert.objectives:
            if isinstance(one, Choices):
                return Question("score", TextRow.of(bert, text), one.name, {}, number_score, np.array(0))
            if isinstance(one, Labels) and one.choose == NUMBER:
                return Question(one.names[0], TextRow.of(bert, text), one.name, {}, number_score, np.array(0))
        raise CheckpointError(f"This model was not trained to predict a number: {bert!r}.")


@dataclasses.dataclass(frozen=True)
class Tag(Target):
    """The log-probability of the tag of a word. The text is a text, or the list of its words, as for `tag`.

    Attributes:
      word: its place among the words, from 0, or the word itself, which is then its first occurrence.
      name: the tag; None: the most likely one.
    """

    word: int | str
    name: str | None = None

    def question(self, bert: Pretrained, text: Any) -> Question:
        objective = bert.token_labels()
        words = [text[word.start : word.end] for word in split_words(text)] if isinstance(text, str) else list(text)
        place = words.index(self.word) if self.word in words else self.word
        if isinstance(place, str) or not 0 <= place < len(words):
            raise ConfigError(f"word={self.word!r} is not among the {len(words)} words of the text.")
        # Each word is encoded as in training, on its own.
        pieces = [bert.tokenizer.encode(f" {word}") or [bert.tokenizer.unk_id] for word in words]
        position = 1 + sum(map(len, pieces[:place]))
        row = TextRow.of_ids(bert, [i for each in pieces for i in each])
        logits = np.asarray(bert.predict(objective.name, row.batch))[0, position]
        chosen = _index(self.name, objective.names, logits, "tag")
        title = f"{words[place]}: {objective.names[chosen]}"
        return Question(title, row, objective.name, {}, tag_score, np.array([position, chosen]))


@dataclasses.dataclass(frozen=True)
class AnswerSpan(Target):
    """The log-probabilities of an answer's start and end in a passage, added. The text is (question, passage).

    Attributes:
      answer: a part of the passage, meant where it first occurs; empty: no answer; None: what the model answers.
    """

    answer: str | None = None

    def question(self, bert: Pretrained, text: tuple[str, str]) -> Question:
        objective = bert.objective(Spans, "answer questions")
        if isinstance(text, str):
            raise ConfigError("An answer needs two texts: give (question, passage).")
        asked, passage = text
        if self.answer is None:
            found = bert.answer(asked, passage)
            start, end = found.start, found.end
        else:
            start = passage.find(self.answer)
            end = start + len(self.answer)
        if start < 0:
            raise ConfigError(f"The passage does not contain {quoted(self.answer)}: give a part of it as it stands.")
        tokenizer = bert.tokenizer
        a, (b, offsets) = tokenizer.encode(asked), tokenizer.encode_with_offsets(passage)
        between = [tokenizer.sep_id] * tokenizer.separators_between
        row = TextRow.of_ids(bert, a, b, between if len(between) > 1 else [])
        inside = tokens_of((start, end), offsets)
        if inside is None:
            places, title = (0, 0), "no answer"
        else:
            first = 1 + len(a) + len(between)
            places, title = (first + inside[0], first + inside[1]), passage[start:end]
        return Question(title, row, objective.name, {}, span_score, np.array(places))


@dataclasses.dataclass(frozen=True)
class SummarySentence(Target):
    """The log-probability that a sentence belongs into the summary. The text is a document, or its sentences.

    Attributes:
      sentence: its place among the sentences, from 0; None: the likeliest one.
    """

    sentence: int | None = None

    def question(self, bert: Pretrained, text: str | Sequence[str]) -> Question:
        objective = bert.objective(SummarySentences, "summarize")
        sentences = sentences_of(text, bert.run.data.language) if isinstance(text, str) else list(text)
        row, places = TextRow.of_sentences(bert, sentences)
        if self.sentence is None:
            logits = np.asarray(bert.predict(objective.name, row.batch))[0, places, 0]
            chosen = int(logits.argmax())
        else:
            chosen = self.sentence
        if not 0 <= chosen < len(sentences):
            raise ConfigError(f"sentence={chosen} is not among the {len(sentences)} sentences of the document.")
        title = f"in the summary: {sentences[chosen].strip()}"
        return Question(title, row, objective.name, {}, sentence_score, np.array(places[chosen]))


@dataclasses.dataclass(frozen=True)
class Similarity(Target):
    """The cosine of the text's embedding and that of another text, with the model's usual pooling.

    Attributes:
      to: the other text, which does not change.
    """

    to: str

    def question(self, bert: Pretrained, text: Text) -> Question:
        pooling = bert.pooling
        if pooling == "pooler":
            raise ConfigError("Similarities are those of embeddings without a pooler: choose another pooling.")
        other = bert.embed(self.to, normalize=True)
        title = f"similarity to {quoted(self.to)}"
        return Question(title, TextRow.of(bert, text), "", {}, similarity, other)


def usual_targets(bert: Pretrained, text: Any) -> list[Target]:
    """Returns what one would ask a model about a text: all masks, else the class, number, tags, answer or summary.

    Of a pair without masks, a pretrained model says whether the second text follows. It is empty for a model without
    such a prediction.
    """
    given = text if isinstance(text, tuple) else (text,)
    kinds = [type(one) for one in bert.objectives]
    count = sum(one.count("[MASK]") for one in given)
    if count and MaskedWords in kinds:
        return [MaskedWord(mask=i) for i in range(count)]
    if Spans in kinds:
        return [AnswerSpan()] if len(given) == 2 else []
    if SummarySentences in kinds:
        return [SummarySentence(i) for i in bert.summarize(text).indices] if isinstance(text, str) else []
    labels = [one for one in bert.objectives if isinstance(one, Labels)]
    if labels and labels[0].of_tokens:
        begins = [word.start for word in split_words(text)] if isinstance(text, str) else []
        return [Tag(begins.index(one.start)) for one in bert.tag(text)] if begins else []
    if labels:
        return [Number() if labels[0].choose == NUMBER else Class()]
    if len(given) == 2 and Choices in kinds:
        return [Number()]
    return [Class()] if len(given) == 2 and SentencePairs in kinds else []


def _index(name: str | None, names: Any, logits: np.ndarray, kind: str) -> int:
    if name is None:
        return int(logits.argmax())
    if problems := choice_problem(kind, name, names):
        raise ConfigError(*problems)
    return list(names).index(name)
