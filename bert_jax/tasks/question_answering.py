"""Answers to questions, cut from passages (Rajpurkar et al. 2016, 2018; as in Devlin et al. 2018, section 4.2 and 4.3).

A passage that is longer than a row is read in overlapping windows, each an example with the question. Each window that
holds the whole answer learns its first and its last token. The others learn [CLS], "no answer", as in BERT's code.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.data.labelled import LabelledTexts
from bert_jax.data.passage_questions import PassageQuestion, PassageQuestionsConfig, read_passage_questions
from bert_jax.data.question_windows import QuestionWindows, cut_questions, tokens_of
from bert_jax.errors import CorpusError
from bert_jax.objectives.answer_scores import CHARACTERS, WORDS, best_match, has_unspaced
from bert_jax.objectives.answer_windows import Asked
from bert_jax.objectives.spans import WINDOWS, Spans
from bert_jax.tasks.answer_findings import answer_findings
from bert_jax.tasks.labelled import TRAIN, LabelledKind, LabelledRunConfig
from bert_jax.tokenization import Tokenizer

ANSWERS_FILE = "answers.json"


@dataclasses.dataclass
class QuestionAnsweringConfig(LabelledRunConfig):
    """The complete config of a question answering run."""

    data: PassageQuestionsConfig = dataclasses.field(default_factory=PassageQuestionsConfig)


class QuestionAnswering(LabelledKind[QuestionAnsweringConfig]):
    """Finds the answer to a question in a passage; if some training questions have none, it may say that, too."""

    name = "question_answering"
    noun = "question"
    config_class = QuestionAnsweringConfig

    def read(
        self, config: QuestionAnsweringConfig, path: str, lines: list[str], labelled: bool = True
    ) -> Iterator[PassageQuestion]:
        return read_passage_questions(path, config.data, lines, labelled)

    def decide(self, config: QuestionAnsweringConfig, train: Sequence[PassageQuestion]) -> dict[str, bytes]:
        answers = [one.answers or () for one in train]
        if not any(answers):
            raise CorpusError(f"{config.data.train} has no question with an answer: nothing can be learned from it.")
        unspaced = [has_unspaced(several[0]) for several in answers if several]
        units = config.data.units or (CHARACTERS if 2 * sum(unspaced) > len(unspaced) else WORDS)
        found = {"has_unanswerable": not all(answers), "units": units}
        return {ANSWERS_FILE: (json.dumps(found) + "\n").encode()}

    def objectives(self, config: QuestionAnsweringConfig, files: Mapping[str, bytes]) -> tuple[Spans]:
        return (Spans(max_answer_tokens=config.data.max_answer_tokens, **json.loads(files[ANSWERS_FILE])),)

    def encode(
        self,
        config: QuestionAnsweringConfig,
        objectives: Sequence[Spans],
        examples: Sequence[PassageQuestion],
        tokenizer: Tokenizer,
        split: str,
        lines: list[str],
    ) -> LabelledTexts:
        data, (spans,) = config.data, objectives
        asked = [Asked(i, one.context, one.answers or ()) for i, one in enumerate(examples)]
        cut = cut_questions(
            asked,
            [one.question for one in examples],
            tokenizer,
            data.sequence_length,
            data.question_room,
            data.window_stride,
        )
        places = [one.span and tokens_of(one.span, offsets) for one, offsets in zip(examples, cut.offsets, strict=True)]
        starts, ends, learned = _labels(examples, cut, places)
        lines += _told(cut, places, learned, split, data)
        if split != TRAIN and not spans.has_unanswerable and not all(one.answers for one in examples):
            lines.append(
                f"warning      some {split} questions have no answer, but all training questions have one: the model"
                " always answers"
            )
        texts = cut.texts
        if split == TRAIN:
            kept = np.flatnonzero(learned)
            texts = dataclasses.replace(texts, segments=texts.segments.take(kept))
            if not len(kept):
                raise CorpusError(
                    f"{data.train} has no answer that can be learned: none is found in its passage, or all are longer"
                    " than a window."
                )
        else:
            kept = np.arange(len(learned))
        columns = {
            "span_starts": starts[kept],
            "span_ends": ends[kept],
            "span_weights": learned[kept].astype(np.float32),
            "span_firsts": cut.firsts[kept],
        }
        if split != TRAIN:
            columns[WINDOWS] = np.array([*cut.windows, None], object)[:-1]  # an array of objects, whatever they are
        return LabelledTexts(texts, columns)

    def input_of(self, example: PassageQuestion) -> tuple[str, str]:
        return example.question, example.context

    def summary(self, files: Mapping[str, bytes], num_examples: int) -> str:
        found = json.loads(files[ANSWERS_FILE])
        none = ", or to say that there is none" if found["has_unanswerable"] else ""
        return f"Trained to find the answers to {num_examples:,} questions in their passages{none}."

    def predict(self, model: Any, examples: Sequence[PassageQuestion]) -> Iterable[dict[str, Any]]:
        (spans,) = model.objectives
        said = model.answer(
            [one.question for one in examples], [one.context for one in examples], model.run.data.num_best
        )
        for one, answer in zip(examples, said, strict=True):
            row = {"id": one.id, "question": one.question}
            row |= {"gold": None if one.answers is None else list(one.answers), "predicted": answer.text}
            row |= {"start": answer.start, "end": answer.end, "probability": answer.probability}
            row |= {"null_score": answer.null_score if math.isfinite(answer.null_score) else None}
            if one.answers is not None:
                row |= best_match(spans.rules[0], one.answers, answer.text)._asdict()
            yield row | {"candidates": [dataclasses.asdict(each) for each in answer.candidates]}

    def findings(self, predictions: Sequence[Mapping[str, Any]]) -> list[str]:
        return answer_findings(predictions)


def _labels(
    examples: Sequence[PassageQuestion], cut: QuestionWindows, places: Sequence[tuple[int, int] | None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first and the last position of the span in each window, int32, and whether the window is learned, bool.

    A window without the answer has the span 0, 0: [CLS].

    Args:
      examples: the questions.
      cut: their windows.
      places: for each question, the first and the last token of the answer in the passage; None without one.
    """
    starts, ends = np.zeros((2, len(cut.windows)), np.int32)
    # With an answer, a question is learned if a window holds it.
    known = np.array([one.answers == () for one in examples], bool)
    for i, (window, begin) in enumerate(zip(cut.windows, cut.begins.tolist(), strict=True)):
        place = places[window.asked.number]
        if place and begin <= place[0] and place[1] < begin + len(window.offsets):
            starts[i], ends[i] = (token - begin + window.first for token in place)
            known[window.asked.number] = True
    return starts, ends, known[[window.asked.number for window in cut.windows]]


def _told(
    cut: QuestionWindows,
    places: Sequence[tuple[int, int] | None],
    learned: np.ndarray,
    split: str,
    data: PassageQuestionsConfig,
) -> list[str]:
    """Lines for the log about windows, and about what is cut and left out."""
    count, windows = len(places), len(cut.windows)
    lines = [f"windows      {split} questions: {count:,}, in {windows:,} windows ({windows / count:.2f} each)"]
    if cut.num_cut:
        lines.append(
            f"cut          {split} questions with more than {data.question_room} tokens, which lose their ends:"
            f" {cut.num_cut:,} ({100 * cut.num_cut / count:.1f} %)"
        )
    if long := sum(last - first >= data.max_answer_tokens for first, last in filter(None, places)):
        lines.append(
            f"long         {split} answers with more than data.max_answer_tokens={data.max_answer_tokens} tokens, never"
            f" given whole: {long:,} ({100 * long / count:.1f} %)"
        )
    if left := len({window.asked.number for window, one in zip(cut.windows, learned, strict=True) if not one}):
        does = "left out of training" if split == TRAIN else "scored, but not in the loss"
        lines.append(
            f"left out     {split} questions {does}, because their answers are not found, or longer than a window:"
            f" {left:,} ({100 * left / count:.1f} %)"
        )
    return lines
