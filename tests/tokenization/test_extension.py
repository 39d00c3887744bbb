import json

import pytest

from bert_jax.errors import TokenizerError
from bert_jax.interop.tokenizer_files import hugging_face_tokenizer_files
from bert_jax.tokenization import from_files, load_tokenizer
from bert_jax.tokenization.extension import add_words
from bert_jax.tokenization.training import train_sentencepiece
from tests.tokenization.samples import TEXTS, all_kinds, sentences, wordpiece

WORDS = ["moonrose", "moonroses", "rosemoon", "moon"]
KINDS = all_kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_new_words_are_one_piece_and_all_old_text_is_what_it_was(kind, tmp_path):
    old = KINDS[kind]
    new = add_words(old, WORDS)
    added = 3 if kind == "wordpiece" else 4  # it has "moon"
    assert new.vocab_size == old.vocab_size + added
    assert new.vocabulary[: old.vocab_size] == old.vocabulary
    assert new.special_ids == old.special_ids
    ids = new.encode(" " + " ".join(WORDS))
    assert len(ids) == 4
    assert sum(i >= old.vocab_size for i in ids) == added
    assert new.word_starts[ids].all()
    assert set(ids) <= set(new.ordinary_ids)
    assert new.decode(ids).split() == WORDS
    for text in (*TEXTS, *sentences(50)):
        text = text.replace("<mask>", "")  # the sample of bytes has a piece " <" to which no merge leads
        if "moon" not in text:
            assert new.encode(text) == old.encode(text)
    new.save(tmp_path)
    assert load_tokenizer(tmp_path).sha256 == new.sha256
    again = from_files({"tokenizer.json": hugging_face_tokenizer_files(new)["tokenizer.json"]})
    assert again.encode(" ".join(["the", *WORDS, "cat."])) == new.encode(" ".join(["the", *WORDS, "cat."]))


def test_whole_words_of_bytes_leave_longer_words_as_they_were():
    old, new = KINDS["byte_level"], add_words(KINDS["byte_level"], WORDS)
    for text in (" moonrosee", " themoon", " rosemoons at", "moonrose"):
        assert new.encode(text) == old.encode(text)


def test_equal_and_known_words_add_nothing():
    old = wordpiece()
    assert add_words(old, ["cat", "moon", "rose"]) is old
    assert add_words(old, ["moonrose"] * 3).vocab_size == old.vocab_size + 1
    assert add_words(old, []) is old


def test_words_are_normalised_as_text_is():
    old = KINDS["sentence_piece"]  # folds case
    new = add_words(old, ["MoonRose", "moonrose"])
    assert new.vocabulary[old.vocab_size :] == ("▁moonrose",)
    assert new.encode("MOONROSE") == [old.vocab_size]


def test_words_with_unknown_characters_can_be_added():
    for old in KINDS.values():
        new = add_words(old, ["жук"])
        assert new.encode(" жук") == [old.vocab_size]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_word_is_refused(kind):
    for wrong in ("moon rose", "", " "):
        with pytest.raises(TokenizerError, match="is not one word to this tokenizer"):
            add_words(KINDS[kind], ["moonrose", wrong])


def test_a_tokenizer_that_merges_across_words_is_refused():
    bpe = train_sentencepiece(sentences(), 120, model_type="bpe", lowercase=True)
    with pytest.raises(TokenizerError, match="'moonrose' cannot be one piece of this tokenizer: leave it out, or fit"):
        add_words(bpe, ["moonrose"])


def test_ids_after_those_of_added_tokens_are_used():
    """In a `tokenizer.json`, added tokens may have ids beyond those of the model."""
    for kind in ("byte_level", "unigram_json"):
        document = json.loads(KINDS[kind].files()["tokenizer.json"])
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        size = KINDS[kind].vocab_size
        document["added_tokens"].append({"id": size, "content": "@@", **flags, "special": False})
        old = from_files({"tokenizer.json": json.dumps(document).encode()})
        assert old.encode("a @@")[-1] == size
        new = add_words(old, ["moonrose"])
        assert new.encode(" moonrose") == [size + 1]
        assert new.encode("a @@") == old.encode("a @@")
