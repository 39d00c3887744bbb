"""Answers to questions, cut from passages of any length, from a trained model."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_jax.answers import Answer, PossibleAnswer
from bert_jax.data.passage_questions import PassageQuestionsConfig
from bert_jax.data.question_windows import cut_questions
from bert_jax.objectives.answer_windows import Asked, Candidates, Decoded, join_all, probabilities
from bert_jax.objectives.spans import Spans, best_spans

QUESTIONS_AT_ONCE = 256
# Candidates whose scores make the probabilities, and tokens of a row if the model does not say, as in BERT's code.
CANDIDATES, USUAL_LENGTH = 20, 384


def answer_questions(
    model: Any,
    objective: Spans,
    questions: Sequence[str],
    contexts: Sequence[str],
    top: int,
    threshold: float | None = None,
) -> list[Answer]:
    """Returns the answer to each question; see `pretrained.Pretrained.answer`.

    Args:
      model: a `pretrained.Pretrained`.
      objective: its head that finds spans.
      questions: the questions.
      contexts: the passage of each.
      top: the candidates of each answer.
      threshold: "no answer" is said if its score is higher by more than this; None: as the head does.
    """
    data = getattr(model.run, "data", None)
    if not isinstance(data, PassageQuestionsConfig):
        data = PassageQuestionsConfig(sequence_length=min(model.max_tokens, USUAL_LENGTH))
    if threshold is None and objective.has_unanswerable:
        threshold = objective.null_threshold or 0.0
    result: list[Answer] = []
    for begin in range(0, len(questions), QUESTIONS_AT_ONCE):
        some = slice(begin, begin + QUESTIONS_AT_ONCE)
        asked = [Asked(i, context) for i, context in enumerate(contexts[some])]
        cut = cut_questions(
            asked, questions[some], model.tokenizer, data.sequence_length, data.question_room, data.window_stride
        )
        firsts, count = cut.firsts, len(cut.windows)
        width = min(CANDIDATES, model.max_tokens)
        found = Decoded(
            starts=np.zeros((count, width), np.int32),
            ends=np.zeros((count, width), np.int32),
            scores=np.full((count, width), -np.inf, np.float32),
            nulls=np.zeros(count, np.float32),
        )
        for packed, logits in model.packed_outputs(cut.texts, objective.name):
            column = np.zeros_like(packed.batch["cls_positions"])
            column[packed.row, packed.slot] = firsts[packed.index]
            spans = best_spans(logits, packed.batch | {"span_firsts": column}, width, objective.max_answer_tokens)
            for values, there in zip(found, spans, strict=True):
                own = np.asarray(there)[packed.row, packed.slot]
                values[(packed.index, *(slice(0, size) for size in own.shape[1:]))] = own
        result += [_answer(one, top, threshold) for _, one in join_all(cut.windows, found, CANDIDATES)]
    return result


def _answer(found: Candidates, top: int, threshold: float | None) -> Answer:
    """The answer that candidates make; without a threshold, "no answer" is said only if there is no candidate."""
    says_none = threshold is not None or not found.best
    shares = probabilities([*(one.score for one in found.best), *([found.null] if says_none else [])])
    possible = tuple(
        PossibleAnswer(one.text, one.start, one.end, share)
        for one, share in zip(found.best, shares, strict=False)  # the last share may be that of "no answer"
    )
    difference = found.null_difference
    if not possible or (threshold is not None and difference > threshold):
        return Answer("", 0, 0, shares[-1], possible[:top], difference)
    best = possible[0]
    return Answer(best.text, best.start, best.end, best.probability, possible[:top], difference)
