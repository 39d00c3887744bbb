"""Held-out sentences with one word masked, and the model's guesses."""

import dataclasses
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np

from bert_jax.corpus.store import Corpus
from bert_jax.tokenization import Tokenizer
from bert_jax.tokenization.tokenizer import MASK

SENTENCES = 8
SHORTEST, LONGEST = 10, 40  # tokens


@dataclasses.dataclass(frozen=True)
class FilledMask:
    """A held-out sentence with one word masked, that word, the model's guesses (word, probability), and its source."""

    text: str
    answer: str
    guesses: list[tuple[str, float]]
    source: str


def fill_held_out_masks(model: Any, corpus: Corpus, count: int = SENTENCES) -> list[FilledMask]:
    """Masks one whole word in each of some sentences, spread over the held-out documents, and asks the model.

    Every source gives equally many sentences and at least one, unless it holds out none with a whole word.

    Args:
      model: a `pretrained.Pretrained`.
      corpus: its held-out documents are used.
      count: the largest number of sentences, rounded up to a multiple of the number of sources.
    """
    longest = min(LONGEST, model.max_tokens - 2)
    each = -(-count // len(corpus.sources))
    filled = []
    for i, source in enumerate(corpus.sources):
        found: dict[int, FilledMask] = {}
        # Where a source has no ordinary sentences, as in text without spaces, the beginnings of others will do.
        for ordinary in (True, False):
            for start, ids in _sentences(corpus, i, 4 * each):
                if start in found or len(found) == each:
                    continue
                if place := _place(start, ids[:longest] if not ordinary else ids, corpus.tokenizer, ordinary, longest):
                    found[start] = _ask(model, *place, corpus.tokenizer, source)
        filled += [found[start] for start in sorted(found)]
    return filled


def _sentences(corpus: Corpus, source: int, count: int) -> Iterator[tuple[int, list[int]]]:
    """About `count` held-out sentences of a source, evenly spread: the index and the token ids of each."""
    split = corpus.validation
    documents = split.of_source(source).document_starts
    first, last = int(documents[0]), int(documents[-1])
    for start in range(first, last, max(1, (last - first) // count)):
        yield (
            start,
            np.asarray(split.token_ids[split.sentence_starts[start] : split.sentence_starts[start + 1]]).tolist(),
        )


def _place(
    start: int, ids: list[int], tokenizer: Tokenizer, ordinary: bool, longest: int
) -> tuple[list[int], int] | None:
    """The sentence, and the position of a word to mask in it; None if the sentence is not suitable."""
    if tokenizer.unk_id in ids or (ordinary and not SHORTEST <= len(ids) <= longest):
        return None
    words = _whole_words(ids, tokenizer)
    if len(words) < (max(1, len(ids) // 2) if ordinary else 1):
        return None
    return ids, words[start % len(words)]


def _ask(model: Any, ids: list[int], place: int, tokenizer: Tokenizer, source: str) -> FilledMask:
    hidden = f"{tokenizer.decode(ids[:place])} {MASK} {tokenizer.decode(ids[place + 1 :])}"
    guesses = model.fill_mask(hidden)[0]
    answer = tokenizer.decode([ids[place]]).strip()
    return FilledMask(hidden.strip(), answer, [(g.word, g.probability) for g in guesses], source)


def _whole_words(ids: list[int], tokenizer: Tokenizer) -> list[int]:
    """Returns the positions of words that are one piece; ASCII words need at least three letters."""
    begins = tokenizer.word_starts[ids]
    ends = np.append(begins[1:], True)
    texts = [tokenizer.decode([i]).strip() for i in ids]
    return [
        place
        for place, text in enumerate(texts)
        if begins[place] and ends[place] and _is_word(text) and (len(text) > 2 or not text.isascii())
    ]


def _is_word(text: str) -> bool:
    """Whether this is a letter, followed by letters and by marks, as in Hindi and Thai."""
    return text[:1].isalpha() and all(unicodedata.category(character)[0] in "LM" for character in text)
