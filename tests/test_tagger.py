"""Tags of words as entities with offsets, from tags made by hand."""

import types

import numpy as np
import pytest

from bert_jax.answers import Mention
from bert_jax.data.texts import packed_batches
from bert_jax.data.words import split_words
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.tags import BARE, BIOES, IOB2
from bert_jax.objectives.word_tags import WordTags
from bert_jax.tagger import mentions, scheme_of, tag_texts
from bert_jax.tokenization.wordpiece import WordPieceTokenizer


def found(text, *tags, scheme=IOB2):
    words = split_words(text) if isinstance(text, str) else None
    return mentions(text, words, [(tag, 0.5 + 0.1 * i) for i, tag in enumerate(tags)], scheme)


def test_an_entity_is_its_whole_words_and_what_is_between_them():
    text = "In  Rio de\u200b\nJaneiro."
    assert found(text, "O", "B-LOC", "I-LOC", "I-LOC", "O") == [
        Mention("LOC", "Rio de\u200b\nJaneiro", 4, 19, pytest.approx(0.7))
    ]


def test_a_tag_that_continues_nothing_begins_an_entity():
    tags = ("I-PER", "I-LOC", "I-LOC", "B-LOC", "O")
    assert [(one.type, one.text) for one in found("a b c d e", *tags)] == [("PER", "a"), ("LOC", "b c"), ("LOC", "d")]


def test_words_that_were_given_are_counted():
    (one,) = found(["New", "York", "City,"], "O", "B-LOC", "I-LOC")
    assert one == Mention("LOC", "York City,", 1, 3, pytest.approx(0.65))


def test_accents_do_not_move_what_follows():
    text = "Cafe\u0301s à Zu\u0308rich"
    (one,) = found(text, "O", "O", "B-LOC")
    assert (one.text, text[one.start : one.end]) == ("Zu\u0308rich", "Zu\u0308rich")


def test_bare_tags_are_of_words():
    assert [(one.type, one.text, one.start, one.end) for one in found("EU!", "PROPN", "PUNCT", scheme=BARE)] == [
        ("PROPN", "EU", 0, 2),
        ("PUNCT", "!", 2, 3),
    ]


def test_the_scheme_of_a_released_model_is_told_from_its_labels():
    def scheme(*names):
        return scheme_of(Labels(names=names, of_tokens=True))

    assert scheme("O", "B-PER", "I-PER") == IOB2
    assert scheme("O", "B-PER", "I-PER", "E-PER", "S-PER") == BIOES
    assert scheme("LABEL_0", "LABEL_1") == scheme("NOUN", "VERB") == scheme("O", "B-PER", "b-LOC") == BARE
    assert scheme_of(WordTags(names=("O", "B-PER"), scheme=BARE)) == BARE


def test_the_first_piece_decides_and_no_word_is_cut():
    names = ("B-LOC", "B-PER", "O")
    said = {"brenn": "B-PER", "##an": "B-LOC", "nov": "O", "##2018": "O"}
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *said], lowercase=True)
    scores = np.array([[4.0 * (name == said.get(piece)) for name in names] for piece in tokenizer.vocabulary])

    def packed_outputs(encoded, name):
        for packed in packed_batches(encoded, tokenizer, 64):
            yield packed, scores[packed.batch["token_ids"]]

    model = types.SimpleNamespace(tokenizer=tokenizer, max_tokens=16, run=None, packed_outputs=packed_outputs)
    (found,) = tag_texts(model, WordTags(names=names, scheme=IOB2), ["Brennan Nov2018"])
    share = np.exp(4) / (np.exp(4) + 2)
    assert found == [Mention("PER", "Brennan", 0, 7, pytest.approx(share, rel=1e-6))]
