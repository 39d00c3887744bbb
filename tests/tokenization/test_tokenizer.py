"""What holds for every kind of tokenizer."""

import numpy as np
import pytest

from bert_jax.tokenization import from_files, load_tokenizer
from tests.tokenization.samples import FIVE, TEXTS, all_kinds

KINDS = all_kinds()
LITERALS = " ".join((*FIVE, "<s>", "</s>", "<pad>", "<mask>", "SPK", "<spk>", "<extra>", "[unused0]"))


@pytest.fixture(params=KINDS)
def tokenizer(request):
    return KINDS[request.param]


def test_text_never_becomes_a_special_id_not_even_after_saving(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    for one in (tokenizer, load_tokenizer(tmp_path), from_files(tokenizer.files())):
        for text in (LITERALS, LITERALS.replace(" ", ""), *LITERALS.split()):
            assert not set(one.frame_ids) & set(one.encode(text)), text
            assert not set(one.frame_ids) & set(one.encode_batch([text])[0]), text


def test_files_round_trip(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    for copy in (from_files(tokenizer.files()), load_tokenizer(tmp_path)):
        assert type(copy) is type(tokenizer)
        assert copy.files() == tokenizer.files()
        assert copy.sha256 == tokenizer.sha256
        assert copy.vocabulary == tokenizer.vocabulary
        assert copy.special_ids == tokenizer.special_ids
        assert copy.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


def test_batch_equals_single(tokenizer):
    assert tokenizer.encode_batch(iter(TEXTS)) == [tokenizer.encode(text) for text in TEXTS]
    assert tokenizer.encode_batch([]) == []


def test_blank_text_has_no_ids(tokenizer):
    assert tokenizer.encode("") == []


def test_a_wanted_mask_becomes_the_mask_id(tokenizer):
    ids = tokenizer.encode_masked("the [MASK] cat[MASK]")
    assert [i == tokenizer.mask_id for i in ids].count(True) == 2
    assert ids[-1] == tokenizer.mask_id
    hidden = [i for i in ids if i != tokenizer.mask_id]
    assert hidden == tokenizer.encode("the cat")
    assert tokenizer.encode_masked("the cat") == tokenizer.encode("the cat")


def test_decode_joins_pieces_and_shows_special_tokens(tokenizer):
    ids = [tokenizer.cls_id, *tokenizer.encode_masked("the cat [MASK]"), tokenizer.sep_id]
    cls, mask, sep = (tokenizer.vocabulary[i] for i in (tokenizer.cls_id, tokenizer.mask_id, tokenizer.sep_id))
    assert tokenizer.decode(ids) == f"{cls} the cat {mask} {sep}"
    assert tokenizer.decode(np.array(ids)) == tokenizer.decode(ids)


def test_ordinary_ids_are_neither_special_nor_reserved(tokenizer):
    ordinary = tokenizer.ordinary_ids
    assert ordinary.dtype == np.int64
    assert not set(ordinary) & set(tokenizer.special_ids)
    assert not any("unused" in tokenizer.vocabulary[i] for i in ordinary)
    assert set(tokenizer.encode("the cat")) <= set(ordinary)
    reserved = sum("unused" in piece for piece in tokenizer.vocabulary)
    assert len(ordinary) == tokenizer.vocab_size - len(tokenizer.special_ids) - reserved


def test_special_ids(tokenizer):
    five = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
    assert len(five) == 5
    assert five <= set(tokenizer.special_ids)
    assert tokenizer.special_ids == tuple(sorted(tokenizer.special_ids))
    assert set(tokenizer.frame_ids) == set(tokenizer.special_ids) - {tokenizer.unk_id}


def test_first_pieces_of_words_are_word_starts(tokenizer):
    assert tokenizer.word_starts.shape == (tokenizer.vocab_size,)
    assert tokenizer.word_starts.dtype == bool
    assert tokenizer.word_starts[list(tokenizer.special_ids)].all()
    ids = tokenizer.encode(" the cat moon")
    words = np.add.reduce(tokenizer.word_starts[ids])
    assert words == 3
    assert tokenizer.word_starts[ids[0]]


def test_signs_and_letters_without_spaces_begin_words_by_themselves():
    for kind in ("wordpiece", "unigram_json"):
        tokenizer = KINDS[kind]
        for piece in "月。,":
            assert tokenizer.word_starts[tokenizer.vocabulary.index(piece)], (kind, piece)
    unigram = KINDS["unigram_json"]
    assert not unigram.word_starts[unigram.vocabulary.index("a")]


def test_extra_special_tokens_are_special():
    for kind, token in (("wordpiece", "SPK"), ("sentence_piece", "<spk>"), ("byte_level", "<extra>")):
        assert KINDS[kind].vocabulary.index(token) in KINDS[kind].special_ids
