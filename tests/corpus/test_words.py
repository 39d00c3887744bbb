import collections
import re

import pytest

from bert_jax.corpus import words
from bert_jax.corpus.words import frequent_words
from bert_jax.tokenization.extension import add_words


@pytest.mark.parametrize("piece", [100, 1 << 24])
def test_the_most_frequent_words_in_pieces(corpus, text_file, piece, monkeypatch):
    """Against a count of the text itself, of which a tenth is held out."""
    monkeypatch.setattr(words, "PIECE", piece)
    found = frequent_words(corpus, corpus.tokenizer, 30)
    assert len(found) == 30
    assert not any(len(corpus.tokenizer.encode(word)) == 1 for word in found)
    counts = collections.Counter(re.findall("[a-z]+", text_file.read_text().lower()))
    rare = [word for word, _ in counts.most_common() if len(corpus.tokenizer.encode(word)) > 1]
    assert len(set(found) & set(rare[:45])) >= 25
    extended = add_words(corpus.tokenizer, found)
    assert extended.vocab_size == corpus.tokenizer.vocab_size + 30
    assert not set(frequent_words(corpus, extended, 30)) & set(found)


def test_few_are_all(corpus):
    found = frequent_words(corpus, corpus.tokenizer, 10**6)
    assert 30 < len(found) < 400
    assert not frequent_words(corpus, add_words(corpus.tokenizer, found), 10)
