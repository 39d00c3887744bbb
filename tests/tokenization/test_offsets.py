"""Each piece says which characters of the text it comes from, through every step of the normalisation."""

import random

import numpy as np
import pytest
from sentencepiece import sentencepiece_model_pb2

from bert_jax.tokenization import SentencePieceTokenizer, WordPieceTokenizer, from_files
from bert_jax.tokenization.normalisation import Normaliser
from bert_jax.tokenization.offsets import tidy
from bert_jax.tokenization.training import train_sentencepiece
from tests.tokenization import modern
from tests.tokenization.samples import (
    FIVE,
    TEXTS,
    byte_level_json,
    sentence_piece,
    trained_bytes,
    unigram_json,
    wordpiece,
)

LETTERS = "abcdefghijklmnopqrstuvwxyzäßıσςäöüклмअनु京東株"
# Accents of both forms, İ, sigmas, ligatures, marks in the wrong order, invisible signs, all kinds of blanks.
ODD = "aB é\u0301e\u0323\u0301ÅﬁİΣσ ΟΔΟΣ ½㈱ｔ東京한\u200d\u00ad\ufe0f\ufffd\ud800\t\u3000\n.、¿नु😀"
ODD += "👍🏽Ǆßẞ\u302e\U0001d165"


def uncased() -> WordPieceTokenizer:
    pieces = (*FIVE, *LETTERS, *(f"##{letter}" for letter in LETTERS), ".", "ist", "##anb", "##ul", "oδ", "##ο")
    return WordPieceTokenizer(pieces, lowercase=True)


def folding() -> SentencePieceTokenizer:
    return train_sentencepiece(["the café ﬁne office ½ ｔｅｓｔ 東京 は 株式 ㈱ hello"] * 9, 60, lowercase=True)


def with_bytes() -> SentencePieceTokenizer:
    """The same, which spells unknown characters by their bytes."""
    model = sentencepiece_model_pb2.ModelProto.FromString(folding().files()["tokenizer.model"])
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", score=-20.0, type=6)
    model.trainer_spec.byte_fallback = True
    return SentencePieceTokenizer(model.SerializeToString())


MAKERS = {
    "wordpiece, cased": wordpiece,
    "wordpiece, uncased": uncased,
    "sentencepiece": sentence_piece,
    "sentencepiece, folding": folding,
    "sentencepiece, bytes": with_bytes,
    "byte-level": lambda: from_files({"tokenizer.json": byte_level_json()}),
    "byte-level, trained": trained_bytes,
    **{kind: lambda make=make: from_files(make()) for kind, make in modern.KINDS.items()},
    "unigram": lambda: from_files({"tokenizer.json": unigram_json()}),
}


def cut(tokenizer, text):
    """The parts of a text that its pieces come from."""
    ids, offsets = tokenizer.encode_with_offsets(text)
    return [(tokenizer.vocabulary[id_], text[start:end]) for id_, (start, end) in zip(ids, offsets, strict=True)]


@pytest.mark.parametrize("name", MAKERS)
def test_ids_are_those_of_encode_and_ranges_are_in_order_within_the_text(name):
    tokenizer, rng = MAKERS[name](), random.Random(0)
    for text in (*TEXTS, *("".join(rng.choices(ODD, k=rng.randrange(1, 30))) for _ in range(300))):
        ids, offsets = tokenizer.encode_with_offsets(text)
        assert ids == tokenizer.encode(text), text
        assert offsets.shape == (len(ids), 2)
        assert offsets.dtype == np.int64
        starts, ends = offsets.T
        assert (np.diff(starts) >= 0).all(), text
        assert (starts <= ends).all(), text
        assert ends.max(initial=0) <= len(text)
        for start, end in offsets.tolist():
            assert text[start:end] == text[start:end].strip(), text


@pytest.mark.parametrize(
    "options", [(True, True, True), (True, False, True), (False, True, False), (False, False, True)]
)
def test_located_words_are_the_words_and_their_letters_come_from_where_they_say(options):
    normaliser, rng = Normaliser(*options), random.Random(1)
    for _ in range(2000):
        text = "".join(rng.choices(ODD, k=rng.randrange(1, 25)))
        located = normaliser.located_words(text)
        assert [word for word, _ in located] == normaliser.words(text), text
        for word, origins in located:
            assert len(word) == len(origins)
            for letter, origin in zip(word, origins.tolist(), strict=True):
                alone = "".join(normaliser.words(text[origin]))
                assert letter in (alone or text[origin]) or {letter, alone} == {"ς", "σ"}, (text, letter, alone)


def test_what_a_vocabulary_changes_is_cut_as_it_stands_in_the_text():
    """İ, both final sigmas, decomposed accents, double spaces, and words that are split in their middle."""
    assert cut(uncased(), "İstanbul  ÉÉ") == [
        ("ist", "İst"),
        ("##anb", "anb"),
        ("##ul", "ul"),
        ("e", "É"),
        ("##e", "É"),
    ]
    assert cut(uncased(), "x cafe\u0301\u0323s.") == [
        *[("x", "x"), ("c", "c"), ("##a", "a"), ("##f", "f"), ("##e", "e\u0301\u0323"), ("##s", "s"), (".", ".")]
    ]
    assert [part for _, part in cut(uncased(), "σας ΣΑΣ")] == ["σας", "ΣΑΣ"]  # unknown words, whole
    assert cut(uncased(), "東京 京") == [("東", "東"), ("京", "京"), ("京", "京")]
    assert [part for _, part in cut(uncased(), "a\u00adb\u200b c")] == ["a", "b", "c"]


def test_a_source_of_several_letters_belongs_to_each_piece_of_it():
    pieces = cut(folding(), " a  oﬁ ㈱東 ")
    assert [part for piece, part in pieces if piece.strip("▁") and "株" in piece] == ["㈱"]
    assert "".join(dict.fromkeys(part for _, part in pieces)) == "aoﬁ㈱東"
    assert [part for piece, part in pieces if piece == "▁"] == [""] * [piece for piece, _ in pieces].count("▁")
    assert [part for _, part in cut(with_bytes(), "é 😀")][-4:] == ["😀"] * 4
    pieces = MAKERS["byte-level"]()
    assert [part for _, part in cut(pieces, "a 月 cat")] == ["a", "", "月", "月", "月", "cat"]


def test_a_mark_that_is_a_piece_of_its_own_stays_its_own():
    assert tidy("e\u0301 x", [(0, 1), (1, 2), (2, 4)]).tolist() == [[0, 1], [1, 2], [3, 4]]
    assert tidy("e\u0301 x", [(0, 1), (2, 4)]).tolist() == [[0, 2], [3, 4]]
    assert tidy(" \u0301x", [(0, 1), (2, 3)]).tolist() == [[1, 1], [2, 3]]
    assert tidy("", []).shape == (0, 2)
