"""Tags of words and entities in texts of any length, from a trained model."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.answers import Mention
from bert_jax.data.word_pieces import cut_words
from bert_jax.data.words import Word, split_words
from bert_jax.errors import CorpusError
from bert_jax.objectives import tags
from bert_jax.objectives.entities import entities
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.tags import BARE
from bert_jax.objectives.word_tags import WordTags

SENTENCES_AT_ONCE = 1024

Tagged = list[tuple[str, float]]  # for each word, its tag and the probability of it


def tag_words(model: Any, objective: Labels, sentences: Iterable[Sequence[str]]) -> Iterator[Tagged]:
    """Yields the tag of each word of each sentence, and its probability.

    A sentence that is longer than the model's longest input is tagged in overlapping windows, and each word in that
    one where it has most context.

    Args:
      model: a `pretrained.Pretrained`.
      objective: its head that labels tokens.
      sentences: the words of each.
    """
    overlap = model.max_tokens // 4 if model.run is None else model.run.data.overlap
    rest = iter(sentences)
    while some := list(itertools.islice(rest, SENTENCES_AT_ONCE)):
        pieces = cut_words(some, model.tokenizer, model.max_tokens, overlap)
        chosen, shares = np.zeros(len(pieces.word), np.int64), np.zeros(len(pieces.word))
        segments = pieces.texts.segments
        for packed, logits in model.packed_outputs(pieces.texts, objective.name):
            best, sure = (np.asarray(each) for each in _best(logits))
            for i, row, first in zip(packed.index, packed.row, packed.first, strict=True):
                start, length = segments.a_start[i], segments.a_length[i]
                inside = slice(first + 1, first + 1 + length)
                chosen[start : start + length] = best[row, inside]
                shares[start : start + length] = sure[row, inside]
        deciders = pieces.deciders
        names = [objective.names[i] for i in chosen[deciders].tolist()]
        words = iter(zip(names, shares[deciders].tolist(), strict=True))
        for sentence in some:
            yield list(itertools.islice(words, len(sentence)))


@jax.jit
def _best(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The most likely label and its probability, over the last axis."""
    return logits.argmax(-1), jnp.exp(logits.max(-1) - jax.nn.logsumexp(logits, axis=-1))


def tag_texts(model: Any, objective: Labels, texts: Iterable[str | Sequence[str]]) -> Iterator[list[Mention]]:
    """Yields what is found in each text, in order; see `pretrained.Pretrained.tag`."""
    scheme = scheme_of(objective)
    rest = iter(texts)
    while some := list(itertools.islice(rest, SENTENCES_AT_ONCE)):
        words = [split_words(one) if isinstance(one, str) else None for one in some]
        sentences: list[Sequence[str]] = [
            one if found is None else [str(one[word.start : word.end]) for word in found]
            for one, found in zip(some, words, strict=True)
        ]
        for one, found, tagged in zip(some, words, tag_words(model, objective, sentences), strict=True):
            yield mentions(one, found, tagged, scheme)


def mentions(text: str | Sequence[str], words: Sequence[Word] | None, tagged: Tagged, scheme: str) -> list[Mention]:
    """Joins the tags of words to entities.

    Args:
      text: a text, or the words themselves.
      words: those of the text; None if it is the words.
      tagged: the tag of each word, and its probability.
      scheme: that of the tags; if it is `bare`, each word is a mention.
    """
    names = [tag for tag, _ in tagged]
    if scheme == BARE:
        found = [(tag, i, i) for i, tag in enumerate(names)]
    else:
        found = [tuple(one) for one in entities(names)]
    result = []
    for kind, first, last in found:
        score = float(np.mean([share for _, share in tagged[first : last + 1]]))
        if words is None:
            start, end = first, last + 1
            said = " ".join(text[start:end])
        else:
            start, end = words[first].start, words[last].end
            said = str(text[start:end])
        result.append(Mention(kind, said, start, end, score))
    return result


def scheme_of(objective: Labels) -> str:
    """The scheme of a head's tags. That of a released model is told from their names."""
    if isinstance(objective, WordTags):
        return objective.scheme
    try:
        return tags.detect([[name] for name in objective.names])
    except CorpusError:
        return BARE
