"""Groups of texts that are learned from together, as packed rows with the columns of `objectives.embeddings`."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bert_jax.data.labelled import LabelledTexts
from bert_jax.data.related_texts import RelatedTexts
from bert_jax.data.texts import EncodedTexts, fair_lengths
from bert_jax.errors import CorpusError
from bert_jax.objectives.embeddings import NEGATIVE
from bert_jax.tokenization import Tokenizer


@dataclasses.dataclass(frozen=True)
class TextGroup:
    """A text, the one that belongs to it or is compared with it, and others that do not belong to it.

    Attributes:
      texts: the first text, the second one, then negatives.
      similarity: how similar the first two are; None if they belong together.
    """

    texts: tuple[str, ...]
    similarity: float | None = None


def training_groups(rows: Sequence[RelatedTexts], lines: list[str]) -> list[TextGroup]:
    """Makes groups to learn from; what is left out is counted in `lines`.

    A text alone belongs to itself, with another draw of dropout (SimCSE). Of pairs with labels, each text has a group
    for each text that belongs to it, with its contradictions as hard negatives in turn.
    """
    if not rows[0].has_label:
        return [
            TextGroup((row.text, row.text if row.pair is None else row.pair, *([row.negative] if row.negative else [])))
            if row.similarity is None
            else TextGroup((row.text, str(row.pair)), row.similarity)
            for row in rows
        ]
    partners: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for row in rows:
        belongs, contradicts = partners.setdefault(row.text, ({}, {}))
        if row.similarity in (0, 1):
            (belongs if row.similarity else contradicts)[str(row.pair)] = None
    groups, alone = [], 0
    for text, (belongs, contradicts) in partners.items():
        negatives = [one for one in contradicts if one not in belongs and one != text]
        alone += not belongs
        groups += [
            TextGroup((text, one, *([negatives[i % len(negatives)]] if negatives else [])))
            for i, one in enumerate(belongs)
        ]
    if alone:
        lines.append(f"left out     training texts to which no other one belongs: {alone:,}")
    return groups


def scored_groups(rows: Sequence[RelatedTexts]) -> list[TextGroup]:
    """Makes groups to score: pairs with labels or numbers by their similarity, others by retrieval.

    Raises:
      CorpusError: a row has a text alone, which shows nothing.
    """
    for row in rows:
        if row.pair is None:
            raise CorpusError(
                f"{row.where} has one text alone, which would only have to find itself: give a validation file of pairs"
                " that belong together, or of pairs with their similarity."
            )
    return [
        TextGroup((row.text, str(row.pair), *([row.negative] if row.negative else [])), row.similarity) for row in rows
    ]


def encode_groups(groups: Sequence[TextGroup], tokenizer: Tokenizer, longest: int) -> LabelledTexts:
    """Makes tokens of groups, and the columns of `objectives.embeddings`; a group shares a row.

    If the texts of a group have more than `longest` tokens together, the longest one loses its end first.

    Args:
      groups: one or more.
      tokenizer: the tokenizer.
      longest: the most tokens in a row, with special tokens.
    """
    flat = [text for group in groups for text in group.texts]
    counts = np.array([len(group.texts) for group in groups])
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(text, len(numbers)) for text in flat], np.int32)
    tokens = tokenizer.encode_batch(flat)
    lengths = np.array([len(one) for one in tokens], np.int64) + 2
    ends = np.cumsum(counts)
    first = ends - counts
    for begin, end in zip(first.tolist(), ends.tolist(), strict=True):
        if lengths[begin:end].sum() > longest:
            lengths[begin:end] = fair_lengths(lengths[begin:end], longest)
    group = np.repeat(np.arange(len(groups), dtype=np.int32), counts)
    place = np.arange(len(flat)) - np.repeat(first, counts)
    partner = np.full(len(flat), -1, np.int32)
    partner[first], partner[first + 1] = ids[first + 1], ids[first]
    similarity = np.array([group.similarity for group in groups], np.float64)  # NaN for None
    has_number = np.repeat(~np.isnan(similarity), counts)
    columns = {
        "text_groups": group,
        "text_roles": np.minimum(place, NEGATIVE).astype(np.int32),
        "text_ids": ids,
        "partner_ids": partner,
        "group_weights": (~has_number).astype(np.float32),
        "similarities": np.nan_to_num(np.repeat(similarity, counts)).astype(np.float32),
        "similarity_weights": has_number.astype(np.float32),
    }
    texts = EncodedTexts.of([(one, ()) for one in tokens], lengths)
    return LabelledTexts(texts, columns, groups=group.astype(np.int64))


def described(groups: Sequence[TextGroup], name: str) -> str:
    """Returns a line about groups, for the log."""
    negatives = sum(len(group.texts) - 2 for group in groups)
    if groups[0].similarity is not None:
        numbers = [group.similarity for group in groups if group.similarity is not None]
        return f"{name:<13}{len(groups):,} pairs with similarities from {min(numbers):g} to {max(numbers):g}"
    itself = sum(group.texts[0] == group.texts[1] for group in groups)
    if itself == len(groups):
        return f"{name:<13}{len(groups):,} texts, each with itself under another draw of dropout"
    return f"{name:<13}{len(groups):,} pairs that belong together, {negatives:,} hard negatives"
