import numpy as np
import pytest

from bert_jax.data.word_pieces import cut_words
from bert_jax.tokenization.wordpiece import WordPieceTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a", "##b"]


@pytest.fixture
def tokenizer():
    return WordPieceTokenizer(PIECES, lowercase=True)


def test_pieces_know_their_words(tokenizer):
    found = cut_words([["ab", "b"], [], ["aba"]], tokenizer, 16, 4)
    assert [PIECES[i] for i in found.texts.token_ids] == ["a", "##b", "b", "a", "##b", "##a"]
    assert found.word.tolist() == [0, 0, 1, 2, 2, 2]
    assert found.begins.tolist() == [True, False, True, True, False, False]
    assert found.counts.all()
    assert found.deciders.tolist() == [0, 2, 3]
    assert (found.num_windowed, found.num_cut, found.num_unknown) == (0, 0, 0)


def test_words_without_pieces_shift_nothing(tokenizer):
    """Zero-width characters and controls tokenise to nothing, but each is a word of its file."""
    found = cut_words([["ab", "\u200b", "\x00", "b", "ba"]], tokenizer, 16, 4)
    assert [PIECES[i] for i in found.texts.token_ids] == ["a", "##b", "[UNK]", "[UNK]", "b", "b", "##a"]
    assert found.word[found.deciders].tolist() == [0, 1, 2, 3, 4]
    assert found.num_unknown == 2


def test_a_word_longer_than_a_row_loses_its_end(tokenizer):
    found = cut_words([["a", "b" * 30, "a"]], tokenizer, 10, 2)
    assert found.num_cut == 1
    assert found.texts.segments.length.max() == 10
    assert found.word[found.deciders].tolist() == [0, 1, 2]
    assert np.bincount(found.word[found.counts]).tolist() == [1, 8, 1]


def test_each_word_counts_once_however_many_windows_it_is_in(tokenizer):
    rng = np.random.default_rng(0)
    sentences = [["".join(rng.choice(["a", "b"], rng.integers(1, 6))) for _ in range(n)] for n in (3, 80, 0, 33, 1)]
    for longest, overlap in ((8, 3), (16, 0), (16, 7), (400, 50)):
        found = cut_words(sentences, tokenizer, longest, overlap)
        assert found.texts.segments.length.max() <= longest
        assert found.texts.num_cut == 0
        words = [word for sentence in sentences for word in sentence]
        assert found.word[found.deciders].tolist() == list(range(len(words)))
        assert np.bincount(found.word[found.counts]).tolist() == list(map(len, words))
        for place, word in zip(found.deciders, words, strict=True):
            spelt = "".join(PIECES[i].strip("#") for i in found.texts.token_ids[place : place + len(word)])
            assert spelt == word
        assert found.num_windowed == sum(sum(map(len, sentence)) > longest - 2 for sentence in sentences)
