"""Multiple choice: the right one of a question's candidates (Devlin et al. 2018, section 4.4)."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.data.choice_questions import (
    ChoiceQuestion,
    ChoiceQuestionsConfig,
    encode_choice_questions,
    read_choice_questions,
)
from bert_jax.data.labelled import LabelledTexts
from bert_jax.errors import CorpusError
from bert_jax.markdown import excerpt, table
from bert_jax.objectives.choices import Choices
from bert_jax.tasks.labelled import LabelledKind, LabelledRunConfig
from bert_jax.tokenization import Tokenizer

SHOWN_ERRORS, SHOWN_TEXT = 10, 160  # questions, characters


@dataclasses.dataclass
class MultipleChoiceConfig(LabelledRunConfig):
    """The complete config of a run."""

    data: ChoiceQuestionsConfig = dataclasses.field(default_factory=ChoiceQuestionsConfig)


class MultipleChoice(LabelledKind[MultipleChoiceConfig]):
    """Scores each candidate with its question; the candidates of a question share a row."""

    name = "multiple_choice"
    config_class = MultipleChoiceConfig
    noun = "question"
    reads_pooled = True
    length_field = "data.longest_example"

    def longest_example(self, config: MultipleChoiceConfig) -> int:
        return config.data.longest_example

    def read(
        self, config: MultipleChoiceConfig, path: str, lines: list[str], labelled: bool = True
    ) -> Iterator[ChoiceQuestion]:
        return read_choice_questions(path, config.data, lines, labelled)

    def objectives(self, config: MultipleChoiceConfig, files: Mapping[str, bytes]) -> tuple[Choices]:
        return (Choices(),)

    def encode(
        self,
        config: MultipleChoiceConfig,
        objectives: Sequence[Any],
        examples: Sequence[ChoiceQuestion],
        tokenizer: Tokenizer,
        split: str,
        lines: list[str],
    ) -> LabelledTexts:
        data = config.data
        most = max(examples, key=lambda one: len(one.candidates))
        if len(most.candidates) > data.row_examples:
            raise CorpusError(
                f"{most.where} has {len(most.candidates)} candidates, but a row has room for {data.row_examples}"
                f" examples: set data.max_examples={len(most.candidates)}."
            )
        texts, groups = encode_choice_questions(examples, tokenizer, data.longest_example, data.sequence_length)
        counts = sorted({len(one.candidates) for one in examples})
        numbers = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        lines.append(f"candidates   {numbers} for each of {len(examples):,} {split} questions")
        if texts.num_cut:
            lines.append(f"cut          {split} candidates that do not fit with their questions: {texts.num_cut:,}")
        columns = {
            "choice_questions": groups.astype(np.int32),
            "choice_places": np.concatenate([np.arange(len(one.candidates), dtype=np.int32) for one in examples]),
            "choice_labels": np.array([one.answer for one in examples], np.int32)[groups],
            "choice_weights": np.ones(len(groups), np.float32),
        }
        return LabelledTexts(texts, columns, groups=groups)

    def input_of(self, example: ChoiceQuestion) -> tuple[str, tuple[str, ...]]:
        return example.text, example.candidates

    def summary(self, files: Mapping[str, bytes], num_examples: int) -> str:
        return f"Trained to choose among the candidates of each of {num_examples:,} questions."

    def predict(self, model: Any, examples: Sequence[ChoiceQuestion]) -> Iterator[dict[str, Any]]:
        said = model.choose([one.text for one in examples], [one.candidates for one in examples])
        for one, choice in zip(examples, said, strict=True):
            yield {
                "question": one.text,
                "candidates": list(one.candidates),
                "gold": one.answer,
                "predicted": choice.index,
                "probabilities": list(choice.probabilities),
            }

    def findings(self, predictions: Sequence[Mapping[str, Any]]) -> list[str]:
        by_number: dict[int, list[bool]] = {}
        for one in predictions:
            by_number.setdefault(len(one["candidates"]), []).append(one["gold"] == one["predicted"])
        counts = [
            [str(number), f"{len(hits):,}", f"{np.mean(hits):.3f}", f"{1 / number:.3f}"]
            for number, hits in sorted(by_number.items())
        ]
        wrong = [one for one in predictions if one["gold"] != one["predicted"]]
        wrong.sort(key=lambda one: -max(one["probabilities"]))
        shown = [
            [
                excerpt(one["question"], SHOWN_TEXT),
                *(excerpt(one["candidates"][one[key]], SHOWN_TEXT) for key in ("gold", "predicted")),
                f"{max(one['probabilities']):.3f}",
            ]
            for one in wrong[:SHOWN_ERRORS]
        ]
        lines = table(["candidates", "questions", "share right", "a guess"], counts, True)
        if not shown:
            return lines
        head = f"{len(wrong):,} of {len(predictions):,} are wrong. Those in which the model was surest:\n"
        return [*lines, head, *table(["question", "right", "chosen", "probability"], shown)]
