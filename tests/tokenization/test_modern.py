"""The tokenizers of the encoders of today, as the `tokenizers` library runs their files."""

import unicodedata

import numpy as np
import pytest
import tokenizers
from absl import logging

from bert_jax.data.texts import encode, packed_batches
from bert_jax.tokenization import JsonTokenizer, WordPieceTokenizer, from_files
from bert_jax.tokenization.offsets import tidy
from tests.tokenization.modern import KINDS, NASTY

FIVES = {
    "modern_bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "euro_bert": (
        "<|end_of_text|>", "<|reserved_special_token_2|>", "<|begin_of_text|>", "<|end_of_text|>", "<|mask|>",
    ),
    "mm_bert": ("<pad>", "<unk>", "<bos>", "<eos>", "<mask>"),
    "nomic_bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
}  # fmt: skip
JSON_KINDS = [kind for kind in KINDS if kind != "nomic_bert"]


def opened(kind):
    files = KINDS[kind]()
    return from_files(files), tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())


def words(tokenizer, text):
    """The words of a text, by the pieces that begin one."""
    ids, found = tokenizer.encode(text), []
    for i, begins in zip(ids, tokenizer.word_starts[ids], strict=True):
        found = [*found, [i]] if begins or not found else [*found[:-1], [*found[-1], i]]
    return [tokenizer.decode(word).strip() for word in found]


@pytest.mark.parametrize("kind", JSON_KINDS)
def test_ids_and_offsets_are_the_librarys(kind):
    ours, theirs = opened(kind)
    assert isinstance(ours, JsonTokenizer)
    assert [theirs.id_to_token(i) for i in range(theirs.get_vocab_size())] == list(ours.vocabulary)
    for text in NASTY:
        expected = theirs.encode(text, add_special_tokens=False)
        ids, offsets = ours.encode_with_offsets(text)
        assert ids == ours.encode(text) == ours.encode_batch(["", text])[1] == expected.ids, text
        np.testing.assert_array_equal(offsets, tidy(text, expected.offsets), err_msg=text)


@pytest.mark.parametrize("kind", KINDS)
def test_special_ids_and_frames_are_those_of_the_files(kind, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda *args: said.append(args))
    ours, theirs = opened(kind)
    five = (ours.pad_id, ours.unk_id, ours.cls_id, ours.sep_id, ours.mask_id)
    assert tuple(ours.vocabulary[i] for i in five) == FIVES[kind]
    assert ours.vocab_size == theirs.get_vocab_size()
    texts = [("The cat", "sat."), ("a", None)]
    for packed in packed_batches(encode(texts, ours, 64), ours, 256):
        for i, row, slot in zip(packed.index, packed.row, packed.slot, strict=True):
            inside = packed.batch["example_ids"][row] == slot + 1
            expected = theirs.encode(*(text for text in texts[i] if text))
            assert packed.batch["token_ids"][row, inside].tolist() == expected.ids
            assert packed.batch["token_type_ids"][row, inside].tolist() == expected.type_ids
    again = from_files(ours.files())
    assert (again.pad_id, again.unk_id, again.sha256) == (ours.pad_id, ours.unk_id, ours.sha256)
    assert not said


@pytest.mark.parametrize("kind", JSON_KINDS)
def test_typed_special_tokens_stay_text_and_text_comes_back(kind):
    ours, _ = opened(kind)
    for text in (*NASTY, *(f"the {ours.vocabulary[i]}cat" for i in ours.special_ids)):
        ids = ours.encode(text)
        assert not set(ids) & set(ours.special_ids), text
        assert ours.decode(ids).split() == text_of(kind, text).split(), text


def text_of(kind, text):
    """What a vocabulary spells: ModernBERT's composes letters, and Gemma's has no sign of its own for a space."""
    text = unicodedata.normalize("NFC", text) if kind == "modern_bert" else text
    return text.replace("▁", " ") if kind == "mm_bert" else text


def test_berts_own_is_our_wordpiece():
    ours, theirs = opened("nomic_bert")
    assert isinstance(ours, WordPieceTokenizer)
    for text in ("The cat sat, isn't it?", "Cat\tthe  (CAT) 12"):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", ["modern_bert", "euro_bert"])
def test_words_begin_at_spaces_signs_and_letters_of_unspaced_scripts(kind):
    ours, _ = opened(kind)
    assert words(ours, "the zqx cat1234567 12345") == ["the", "zqx", "cat1234567", "12345"]
    assert words(ours, "cat. zqx, It's") == ["cat", ".", "zqx", ",", "It", "'s"]
    # A run of spaces is a piece of its own, and belongs to the word behind it.
    assert words(ours, "the    cat")[0] == "the"
    assert words(ours, "the    cat")[-1] == "cat"
    # None of these has a piece: each is spelt in bytes, of which the first begins a word and the others do not.
    for text in ("龍鳳", "😺🚀", "鬱"):
        ids = ours.encode(text)
        assert len(ids) > len(text)
        assert words(ours, f"zqx{text}") == ["zqx", *text]
    assert words(ours, "xþðæ") == ["xþðæ"]


def test_words_of_a_vocabulary_with_bytes_for_unknown_characters():
    ours, _ = opened("mm_bert")
    # A space before a letter that stands alone is a word of its own.
    assert list(filter(None, words(ours, "the zqx 龍鳳, þð 😺"))) == ["the", "zqx", "龍", "鳳", ",", "þð", "😺"]
    starts = dict(zip(ours.vocabulary, ours.word_starts.tolist(), strict=True))
    assert starts["▁▁"]
    assert starts["\n"]
    assert starts["<0xE6>"]
    assert not starts["<0x80>"]
    assert not starts["<0x41>"]


def test_runs_of_spaces_begin_words():
    ours, _ = opened("modern_bert")
    assert ours.word_starts[[ours.vocabulary.index(" " * n) for n in range(2, 25)]].all()
    assert words(ours, "x    the")[0] == "x"


def test_an_unusual_frame_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: said.append(text % args))
    files = KINDS["mm_bert"]()
    changed = files["tokenizer.json"].replace(
        b'"single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, '
        b'{"SpecialToken": {"id": "<eos>", "type_id": 0}}]',
        b'"single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]',
    )
    assert changed != files["tokenizer.json"]
    from_files(files | {"tokenizer.json": changed})
    assert said == ["tokenizer.json puts <bos> A around texts, but here they are <bos> A <eos>."]
