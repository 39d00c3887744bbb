import pytest

from bert_jax.errors import TokenizerError
from bert_jax.tokenization import WordPieceTokenizer, load_tokenizer

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "mask", "sep", "un", "##able", "a", ".", "##a")


@pytest.fixture
def tokenizer():
    return WordPieceTokenizer(PIECES, lowercase=True)


def pieces(tokenizer, text):
    return [tokenizer.vocabulary[i] for i in tokenizer.encode(text)]


def test_longest_match_first(tokenizer):
    assert pieces(tokenizer, "Unable a. xyz") == ["un", "##able", "a", ".", "[UNK]"]


def test_text_never_becomes_a_special_id(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    for t in (tokenizer, load_tokenizer(tmp_path)):
        assert pieces(t, "[MASK] [SEP]") == ["[", "mask", "]", "[", "sep", "]"]
        assert not set(t.special_ids) & set(t.encode("[MASK][SEP]"))


def test_a_wanted_mask_becomes_the_mask_id(tokenizer):
    assert tokenizer.encode_masked("a [MASK].") == [tokenizer.encode("a")[0], tokenizer.mask_id, PIECES.index(".")]


def test_words_of_up_to_200_characters_are_split(tokenizer):
    assert tokenizer.encode("a" * 200) == [PIECES.index("a"), *[PIECES.index("##a")] * 199]
    assert tokenizer.encode("a" * 201) == [PIECES.index("[UNK]")]


def test_saved_and_loaded_is_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    for path in (tmp_path, tmp_path / "vocab.txt"):
        assert load_tokenizer(path).sha256 == tokenizer.sha256


def test_case_of_a_bare_vocabulary_is_judged_by_its_pieces(tmp_path):
    for word, lowercase in (("Paris", False), ("paris", True)):
        (tmp_path / "vocab.txt").write_text("\n".join((*PIECES, word)) + "\n")
        assert load_tokenizer(tmp_path).lowercase is lowercase


def test_batch_equals_single(tokenizer):
    texts = ["unable a", "", "a. a."]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_decode_joins_pieces(tokenizer):
    assert tokenizer.decode(tokenizer.encode("unable a.")) == "unable a."


def test_errors_name_the_culprit(tmp_path):
    with pytest.raises(TokenizerError, match=r"\[MASK\]"):
        WordPieceTokenizer(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"), lowercase=True)
    with pytest.raises(TokenizerError, match="No vocabulary at"):
        load_tokenizer(tmp_path)
