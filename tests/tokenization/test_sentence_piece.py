"""SentencePiece models of others, with special tokens spelt, missing or open to text."""

import pytest
from absl import logging
from sentencepiece import sentencepiece_model_pb2

from bert_jax.errors import TokenizerError
from bert_jax.tokenization import SentencePieceTokenizer
from tests.tokenization.samples import sentence_piece

Type = sentencepiece_model_pb2.ModelProto.SentencePiece.Type


@pytest.fixture
def model():
    """A trained model, to be changed."""
    return sentencepiece_model_pb2.ModelProto.FromString(sentence_piece().files()["tokenizer.model"])


def rename(model, names):
    for piece in model.pieces:
        piece.piece = names.get(piece.piece, piece.piece)


def test_a_mask_that_text_could_spell_is_closed(model):
    for kind in (Type.USER_DEFINED, Type.NORMAL):
        model.pieces[4].type = kind
        tokenizer = SentencePieceTokenizer(model.SerializeToString())
        assert tokenizer.mask_id == 4
        assert 4 not in tokenizer.encode("the [MASK] [MASK]cat[MASK]")
        assert 4 not in SentencePieceTokenizer(tokenizer.files()["tokenizer.model"]).encode("[MASK]")


def test_missing_special_tokens_are_appended_and_said(model, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda *args: said.append(args))
    rename(model, {"[MASK]": "▁zq", "[PAD]": "▁zz", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>"})
    model.pieces[0].type = model.pieces[4].type = Type.NORMAL
    size = len(model.pieces)
    tokenizer = SentencePieceTokenizer(model.SerializeToString())
    assert tokenizer.vocab_size == size + 2
    assert (tokenizer.pad_id, tokenizer.mask_id) == (size, size + 1)
    assert (tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id) == (1, 2, 3)
    assert len(said) == 2
    again = SentencePieceTokenizer(tokenizer.files()["tokenizer.model"])
    assert again.sha256 == tokenizer.sha256
    assert len(said) == 2
    assert not set(tokenizer.frame_ids) & set(tokenizer.encode("[MASK] [PAD] <s></s>"))
    assert 0 in tokenizer.ordinary_ids


def test_the_space_before_a_word_after_a_mask_is_that_of_the_text():
    tokenizer = sentence_piece()
    starts = tokenizer.word_starts
    spaced, joined = (tokenizer.encode_masked(f"the [MASK]{tail}") for tail in (" cat", "cat"))
    after = spaced.index(tokenizer.mask_id) + 1
    assert starts[spaced[after]]
    assert not starts[joined[after]]


def test_bytes_and_unused_pieces_are_not_drawn(model):
    plain = SentencePieceTokenizer(model.SerializeToString())
    last = len(model.pieces) - 1
    model.pieces[last].type = Type.UNUSED
    model.trainer_spec.byte_fallback = True
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", score=0, type=Type.BYTE)
    tokenizer = SentencePieceTokenizer(model.SerializeToString())
    assert set(tokenizer.ordinary_ids) == set(plain.ordinary_ids) - {last}
    starts = dict(zip(tokenizer.vocabulary, tokenizer.word_starts.tolist(), strict=True))
    # Chinese characters begin with E6, and Latin ones with C3; 9C goes on a character.
    assert [starts[piece] for piece in ("<0xE6>", "<0xC3>", "<0x9C>")] == [True, False, False]
    assert tokenizer.decode(tokenizer.encode("the ∞ cat")) == "the ∞ cat"


def test_damaged_models_are_said(model):
    for content in (b"", b"no model", model.SerializeToString()[:-7], model.SerializeToString()[:100]):
        with pytest.raises(TokenizerError, match="SentencePiece model"):
            SentencePieceTokenizer(content)
