import collections
import os
import subprocess
import sys

import pytest

from bert_jax.errors import TokenizerError
from bert_jax.tokenization.training import count_words, train_wordpiece
from tests.conftest import make_documents

SCRIPT = """
import sys
from tests.conftest import make_documents
from bert_jax.tokenization.training import count_words, train_wordpiece
print(train_wordpiece(count_words(make_documents(50), True), 400).sha256)
"""


def test_same_text_gives_the_same_vocabulary_in_any_process_on_any_threads():
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | {"RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in "124"
    }
    assert len(found) == 1


def test_order_of_words_does_not_matter():
    counts = count_words(make_documents(30), True)
    backwards = collections.Counter(dict(reversed(list(counts.items()))))
    assert train_wordpiece(counts, 300).vocabulary == train_wordpiece(backwards, 300).vocabulary


def test_every_word_of_known_letters_is_spelt():
    documents = make_documents(30)
    tokenizer = train_wordpiece(count_words(documents, True), 300)
    assert tokenizer.vocab_size <= 300
    for text in documents:
        ids = tokenizer.encode(text)
        assert tokenizer.unk_id not in ids
        assert "".join(tokenizer.decode(ids).split()) == "".join(text.lower().split())


def test_frequent_words_become_pieces():
    tokenizer = train_wordpiece(collections.Counter({"frequent": 50, "free": 20, "rare": 1}), 40)
    assert "frequent" in tokenizer.vocabulary
    assert "rare" not in tokenizer.vocabulary


def test_cased_and_uncased():
    assert count_words(["Ünable Ünable"], lowercase=True) == {"unable": 2}
    assert count_words(["Ünable"], lowercase=False) == {"Ünable": 1}


def test_errors_say_what_to_do():
    with pytest.raises(TokenizerError, match="no text"):
        train_wordpiece(collections.Counter(), 100)
    with pytest.raises(TokenizerError, match="use at least 17"):
        train_wordpiece(collections.Counter({"abcdef": 3}), 10)
