"""What a model says of a text, for people."""

import dataclasses
from collections.abc import Iterator

from bert_jax.inspection.layers import layer_predictions
from bert_jax.objectives.labels import NUMBER, Labels
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.objectives.spans import Spans
from bert_jax.objectives.summary_sentences import SummarySentences
from bert_jax.pretrained import Pretrained, Text
from bert_jax.tokenization.tokenizer import MASK

TOP = 8  # words for a mask


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One thing that a model predicts.

    Attributes:
      title: what it is.
      rows: (what may be, its probability), the likeliest first.
    """

    title: str
    rows: list[tuple[str, float]]


def predictions(bert: Pretrained, text: Text) -> list[Prediction]:
    """Returns what the heads of a model say of a text, or of a pair of texts, as far as it is a question to them."""
    return [one for found in (_masks, _labels, _summary, _pairs) for one in found(bert, text)]


def _masks(bert: Pretrained, text: Text) -> Iterator[Prediction]:
    count = sum(one.count(MASK) for one in ((text,) if isinstance(text, str) else text))
    for number in range(count if _has(bert, MaskedWords) else 0):
        last = layer_predictions(bert, text, number, TOP)  # unlike `fill_mask`, takes pairs too
        title = MASK if count == 1 else f"{MASK} {number}"
        yield Prediction(title, list(zip(last.words[-1], last.probabilities[-1].tolist(), strict=True)))


def _labels(bert: Pretrained, text: Text) -> Iterator[Prediction]:
    for one in bert.objectives:
        if isinstance(one, Labels) and one.of_tokens and isinstance(text, str):
            yield Prediction("tags", [(f"{found.text}: {found.type}", found.score) for found in bert.tag(text)])
        elif isinstance(one, Labels) and not one.of_tokens and one.choose != NUMBER:
            (label,) = bert.classify([text])
            yield Prediction("label", sorted(label.probabilities.items(), key=lambda row: -row[1]))
        elif isinstance(one, Labels) and one.choose == NUMBER:
            yield Prediction(f"number: {bert.regress([text])[0]:.3f}", [])


def _summary(bert: Pretrained, text: Text) -> Iterator[Prediction]:
    if isinstance(text, str) and _has(bert, SummarySentences):
        found = bert.summarize(text)
        shown = [float(found.probabilities[i]) for i in found.indices]
        yield Prediction("summary", list(zip(found.sentences, shown, strict=True)))


def _pairs(bert: Pretrained, text: Text) -> Iterator[Prediction]:
    if isinstance(text, str):
        return
    for one in bert.objectives:
        if isinstance(one, Spans):
            found = bert.answer(*text)
            shown = [(candidate.text, candidate.probability) for candidate in found.candidates]
            yield Prediction(f"answer: {found.text or 'none'}", shown)
        elif isinstance(one, SentencePairs) and one.question == "next sentence":
            probability = bert.next_sentence(*text)
            yield Prediction("pair", [("the second text follows", probability), ("it does not", 1 - probability)])


def _has(bert: Pretrained, kind: type) -> bool:
    return any(isinstance(one, kind) for one in bert.objectives)
