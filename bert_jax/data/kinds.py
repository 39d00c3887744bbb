"""The kinds of examples that can be made from a corpus: a table of which `data.examples` selects one entry."""

import dataclasses

from bert_jax.data import examples
from bert_jax.data.examples import Maker


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of examples.

    Attributes:
      make: makes examples from chunks of documents; `examples.py` describes each maker.
      special_tokens: the number of special tokens in a row with examples of maximal length.
      question: the question about the two segments of an example; empty: none.
      label_words: the meaning of the labels 0 and 1 or, for split pairs, of the two examples.
      is_split: the two segments are two examples in the same row, which do not attend to each other.
      forced_labels_count: whether a label counts if it was forced, because the chunk has only one sentence.
      scored_as: the kind of held-out examples.
    """

    make: Maker
    special_tokens: int = 3
    question: str = ""
    label_words: tuple[str, str] = ("", "")
    is_split: bool = False
    forced_labels_count: bool = True
    scored_as: str = ""


_NEXT_SENTENCE = Kind(examples.next_sentences, 3, "next sentence", ("is next", "random"))

KINDS = {
    "bert": dataclasses.replace(_NEXT_SENTENCE, scored_as="balanced"),
    "balanced": dataclasses.replace(_NEXT_SENTENCE, forced_labels_count=False, scored_as="balanced"),
    "sentence_order": Kind(
        examples.sentences_in_any_order, 3, "sentence order", ("in order", "swapped"), scored_as="sentence_order"
    ),
    "full_sentences": Kind(examples.full_sentences, 2, scored_as="full_sentences"),
    "candidates": Kind(
        examples.sentences_in_order, 4, label_words=("first", "its next"), is_split=True, scored_as="candidates"
    ),
}
