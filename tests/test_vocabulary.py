"""The rows of a word table under another vocabulary."""

import dataclasses

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.pretrained import Pretrained
from bert_jax.tokenization import WordPieceTokenizer
from bert_jax.tokenization.extension import add_words
from bert_jax.tokenization.tokenizer import SPECIAL_TOKENS
from bert_jax.tokenization.training import train_byte_level, train_sentencepiece
from bert_jax.vocabulary import Refitting
from tests.interop.rows import padded_batch, random_params
from tests.model import composites
from tests.tokenization.samples import all_kinds, sentence_piece, sentences, trained_bytes

CONFIG = ModelConfig(vocab_size=16, num_layers=1, hidden_size=12, num_heads=3, intermediate_size=20, max_positions=40)
OLD = WordPieceTokenizer((*SPECIAL_TOKENS, "the", "cat", "moon", "rose", "##rose", "##s", ".", "un"), lowercase=True)


def model_of(tokenizer, config=CONFIG):
    """With more rows than words."""
    params = random_params(composites.pretraining(config), padded_batch(config, [12, 7], 12, 3))
    params = {name: params[name] for name in ("bert", "mlm") if name in params}  # a head may have none
    return Pretrained("somewhere", config, (MaskedWords(),), jax.device_put(params), tokenizer, 40)


def test_new_words_start_from_the_mean_of_their_old_pieces():
    old = model_of(OLD)
    new = Refitting.between(OLD, add_words(OLD, ["moonroses", "Moonrose", "жук"])).apply(old)
    assert new.tokenizer.vocabulary[13:] == ("moonroses", "moonrose", "жук")
    assert new.config == dataclasses.replace(CONFIG, vocab_size=16)
    for before, after in (
        (old.params["bert"]["embeddings"]["word"], new.params["bert"]["embeddings"]["word"]),
        (old.params["mlm"]["bias"], new.params["mlm"]["bias"]),
    ):
        before, after = np.asarray(before), np.asarray(after)
        assert after.shape == (16, *before.shape[1:])
        np.testing.assert_array_equal(after[:13], before[:13])
        np.testing.assert_allclose(after[13], (before[7] + before[9] + before[10]) / 3, rtol=1e-6)
        np.testing.assert_allclose(after[14], (before[7] + before[9]) / 2, rtol=1e-6)
        np.testing.assert_allclose(after[15], before[5:13].mean(0), rtol=1e-5)  # no old piece: the mean of all words
    others = [jax.tree.map(lambda x: x, model.params) for model in (old, new)]
    for params in others:
        del params["bert"]["embeddings"]["word"], params["mlm"]["bias"]
    jax.tree.map(np.testing.assert_array_equal, *others)


def test_text_without_new_words_gives_the_same_vectors():
    old = model_of(OLD)
    new = Refitting.between(OLD, add_words(OLD, ["moonroses"])).apply(old)
    np.testing.assert_array_equal(new.embed(["the moon.", "uncat"]), old.embed(["the moon.", "uncat"]))
    (guess,) = new.fill_mask("the [MASK].", top=100)
    assert len(guess) == 14


def test_a_whole_vocabulary_keeps_the_rows_of_shared_pieces():
    pieces = ("[UNK]", "[PAD]", "rose", "[CLS]", "[SEP]", "##roses", "[MASK]", "moonrose", "the", "##the", "жук")
    fit = Refitting.between(OLD, WordPieceTokenizer(pieces, lowercase=True))
    assert fit.origins == ((1,), (0,), (8,), (2,), (3,), (9, 10), (4,), (7, 9), (5,), (5,), ())
    assert fit.kept.tolist() == [1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0]
    assert fit.describe() == (
        "11 words: 7 rows as they were, 3 from the mean of their old pieces, 1 that the old vocabulary cannot spell"
        " from the mean of all words"
    )
    table = np.random.default_rng(0).normal(size=(13, 3)).astype(np.float32)
    rows = fit.rows(table)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[2], table[8])
    np.testing.assert_allclose(rows[5], table[[9, 10]].mean(0), rtol=1e-6)


def test_equal_pieces_keep_their_own_rows():
    """A released vocabulary may have a piece twice."""
    twice = WordPieceTokenizer((*SPECIAL_TOKENS, "the", "cat", "the"), lowercase=True)
    assert Refitting.between(twice, twice).origins == tuple((i,) for i in range(8))


def test_sentence_pieces_keep_their_place_in_a_word():
    old, new = sentence_piece(), train_sentencepiece(sentences(100), 100, lowercase=True)
    fit = Refitting.between(old, new)
    for i, piece in enumerate(new.vocabulary):
        if piece in old.vocabulary:
            assert fit.origins[i] == (old.vocabulary.index(piece),), piece
    lacking = [i for i, piece in enumerate(new.vocabulary) if not fit.kept[i] and piece[0] != "["]
    assert lacking
    for i in lacking:
        text = "".join(old.vocabulary[one] for one in fit.origins[i])
        assert text.lstrip("▁") == new.vocabulary[i].lstrip("▁")
        assert text[:1] == "▁" or new.vocabulary[i][0] != "▁"


@pytest.mark.parametrize("kind", all_kinds())
def test_each_kind_can_become_another(kind):
    """Special tokens by their part, whatever their spelling; words by their text."""
    old = all_kinds()[kind]
    fit = Refitting.between(old, OLD)
    assert fit.origins[:5] == ((old.pad_id,), (old.unk_id,), (old.cls_id,), (old.sep_id,), (old.mask_id,))
    if kind != "wordpiece":
        assert "".join(old.vocabulary[i] for i in fit.origins[6]).strip("▁Ġ") == "cat"
    back = Refitting.between(OLD, old)
    assert not back.kept[[i for i in range(old.vocab_size) if i not in old.special_ids]].all()


def test_parts_of_characters_have_no_text_to_start_from():
    old = trained_bytes()
    new = train_byte_level([*sentences(), "月月 有有 朋朋" * 9], 450)
    fit = Refitting.between(old, new)
    lacking = [i for i in np.flatnonzero(~fit.kept) if new.vocabulary[i].startswith("æľ")]
    assert lacking
    assert [fit.origins[i] for i in lacking if "\ufffd" in new.decode([i])] != []
    for i in lacking:
        text = new.decode([i])
        assert fit.origins[i] == (() if "\ufffd" in text else tuple(old.encode_continuation(text)))


def test_letters_that_stand_for_bytes_are_no_letters():
    """Both are of a `tokenizer.json`: `ü` is a letter in one, and a byte in the other."""
    letters, letters_for_bytes = all_kinds()["unigram_json"], trained_bytes()
    fit = Refitting.between(letters, letters_for_bytes)
    assert "ü" in letters.vocabulary
    assert fit.origins[letters_for_bytes.vocabulary.index("ü")] == ()
    assert fit.kept.sum() == 5


def test_an_extended_model_is_written_read_and_exported(tmp_path):
    new = Refitting.between(OLD, add_words(OLD, ["moonroses"])).apply(model_of(OLD))
    new.save_checkpoint(tmp_path / "own")
    again = bert_jax.load(tmp_path / "own")
    assert again.tokenizer.encode("the moonroses") == [5, 13]
    jax.tree.map(np.testing.assert_array_equal, again.params, new.params)
    again.save_huggingface(tmp_path / "exported")
    exported = bert_jax.load(tmp_path / "exported")
    assert exported.tokenizer.encode("the moonroses") == [5, 13]
    jax.tree.map(np.testing.assert_array_equal, exported.params, new.params)


@pytest.mark.parametrize("changes", [{"tied_output": False}, {"output_bias": False, "head_transform": "none"}], ids=str)
def test_every_array_of_words_has_the_new_vocabulary(changes):
    old = model_of(OLD, dataclasses.replace(CONFIG, **changes))
    new = Refitting.between(OLD, add_words(OLD, ["moonroses", "жук", "кот", "пёс"])).apply(old)
    for array in [
        new.params["bert"]["embeddings"]["word"],
        *(new.params.get("mlm", {}).get(key) for key in ("bias", "output")),
    ]:
        assert array is None or len(array) == 17
    (guess,) = new.fill_mask("the [MASK].", top=100)
    assert len(guess) == 17
