import dataclasses
import tracemalloc

import numpy as np
import pytest

from bert_jax.errors import ConfigError, TokenizerError
from bert_jax.inspection.token_names import readable, word_id
from bert_jax.inspection.words import nearest_words, word_map
from tests.inspection.small import WORDS, model
from tests.tokenization.samples import all_kinds

KINDS = all_kinds()


def with_vectors(**vectors):
    """The tiny model, in which some words have these first two coordinates, and all others are zero."""
    bert = model(num_layers=1)
    table = np.full((16, 16), 1e-3, np.float32)
    for word, vector in vectors.items():
        table[WORDS.index(word)] = 0
        table[WORDS.index(word), : len(vector)] = vector
    body = bert.params["bert"]
    embeddings = body["embeddings"] | {"word": table}
    return dataclasses.replace(bert, params=bert.params | {"bert": body | {"embeddings": embeddings}})


def test_neighbours_have_the_highest_cosine():
    bert = with_vectors(cat=(1, 0), dog=(5, 1), sat=(0, 1), down=(-1, 0))
    found = nearest_words(bert, "cat", top=100)
    assert found[0].token == "dog"
    assert found[0].cosine == pytest.approx(5 / np.sqrt(26))
    assert found[-1].token == "down"
    names = [one.token for one in found]
    assert "##happy" in names
    assert not {"cat", "[CLS]", "[MASK]", "[PAD]"} & set(names)
    with pytest.raises(TokenizerError, match="'cats' is not one token of the vocabulary, but cat ##s"):
        nearest_words(bert, "cats")


def test_only_the_rows_of_the_words_are_made_float64():
    bert = with_vectors(cat=(1, 0), dog=(5, 1), sat=(0, 1))
    table = np.zeros((30000, 64), np.float32)
    table[:16, :16] = bert.params["bert"]["embeddings"]["word"]
    body = bert.params["bert"]
    large = body | {"embeddings": body["embeddings"] | {"word": table}}
    bert = dataclasses.replace(bert, params=bert.params | {"bert": large})
    for look in (lambda: word_map(bert, ["cat", "dog", "sat"]), lambda: nearest_words(bert, "cat")):
        look()
        tracemalloc.start()
        look()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 2e6  # the table has 8 MB


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_is_found_by_each_name_that_is_shown(kind):
    tokenizer = KINDS[kind]
    for i in tokenizer.encode("a cat, the cats")[:8]:
        shown, (name,) = tokenizer.decode([i]).strip(), readable(tokenizer, [i])
        assert word_id(tokenizer, name) == i
        assert not shown or tokenizer.decode([word_id(tokenizer, shown)]).strip() == shown


def test_the_map_shows_what_differs_most_with_signs_that_do_not_depend_on_the_order():
    bert = with_vectors(cat=(3, 0, 0.1), dog=(-3, 0, 0), sat=(0, 1), down=(0, -1))
    found = word_map(bert, ["cat", "dog", "sat", "down"])
    np.testing.assert_allclose(found.places, [[3, 0], [-3, 0], [0, 1], [0, -1]], atol=0.1)
    np.testing.assert_allclose(found.variance, [0.9, 0.1], atol=0.01)
    again = word_map(bert, ["down", "sat", "dog", "cat"])
    np.testing.assert_allclose(again.places[::-1], found.places, atol=1e-5)
    with pytest.raises(ConfigError, match="at least three words, but there are 2"):
        word_map(bert, ["cat", "dog"])
