"""Held-out sentences with one word masked, and the model's guesses."""

import dataclasses
from typing import Any

import numpy as np

from bert_jax.corpus.store import Corpus
from bert_jax.tokenization import Tokenizer
from bert_jax.tokenization.tokenizer import MASK

SENTENCES = 8
SHORTEST, LONGEST = 10, 40  # tokens


@dataclasses.dataclass(frozen=True)
class FilledMask:
    """A held-out sentence with one word masked, that word, and the model's guesses (word, probability)."""

    text: str
    answer: str
    guesses: list[tuple[str, float]]


def fill_held_out_masks(model: Any, corpus: Corpus, count: int = SENTENCES) -> list[FilledMask]:
    """Masks one whole word in each of `count` sentences, spread over the held-out documents, and asks the model.

    Args:
      model: a `pretrained.Pretrained`.
      corpus: its held-out documents are used.
      count: the largest number of sentences.
    """
    split, tokenizer = corpus.validation, corpus.tokenizer
    filled = []
    num_sentences = len(split.sentence_starts) - 1
    longest = min(LONGEST, model.max_tokens - 2)
    for start in range(0, num_sentences, max(1, num_sentences // (4 * count))):
        ids = np.asarray(split.token_ids[split.sentence_starts[start] : split.sentence_starts[start + 1]]).tolist()
        if not SHORTEST <= len(ids) <= longest or tokenizer.unk_id in ids:
            continue
        words = _whole_words(ids, tokenizer)
        if len(words) < len(ids) // 2:
            continue
        place = words[start % len(words)]
        hidden = f"{tokenizer.decode(ids[:place])} {MASK} {tokenizer.decode(ids[place + 1 :])}"
        guesses = model.fill_mask(hidden)[0]
        answer = tokenizer.decode([ids[place]]).strip()
        filled.append(FilledMask(hidden.strip(), answer, [(g.word, g.probability) for g in guesses]))
        if len(filled) == count:
            break
    return filled


def _whole_words(ids: list[int], tokenizer: Tokenizer) -> list[int]:
    """Returns the positions of words that are one piece; ASCII words need at least three letters."""
    begins = tokenizer.word_starts[ids]
    ends = np.append(begins[1:], True)
    texts = [tokenizer.decode([i]).strip() for i in ids]
    return [
        place
        for place, text in enumerate(texts)
        if begins[place] and ends[place] and text.isalpha() and (len(text) > 2 or not text.isascii())
    ]
