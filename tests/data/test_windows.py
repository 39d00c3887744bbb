"""Windows against their definition, by brute force."""

import itertools

import numpy as np

from bert_jax.data.windows import cover, keepers


def cases():
    rng = np.random.default_rng(0)
    for _ in range(300):
        room = int(rng.integers(1, 30))
        lengths = np.minimum(rng.geometric(rng.choice([0.2, 0.6, 1.0]), rng.integers(0, 60)), room)
        yield lengths, room, int(rng.integers(0, room // 2 + 1))


def test_every_word_is_in_a_window_and_neighbours_share_no_more_than_they_may():
    shared = 0
    for lengths, room, overlap in cases():
        found = cover(lengths, room, overlap)
        assert {word for first, end in found for word in range(first, end)} == set(range(len(lengths)))
        for first, end in found:
            assert 0 < lengths[first:end].sum() <= room
            assert end == len(lengths) or lengths[first : end + 1].sum() > room  # another word would not fit
        for one, two in itertools.pairwise(found):
            assert one.first < two.first <= one.end < two.end
            common = lengths[two.first : one.end].sum()
            assert common <= overlap
            shared += common
            longer = lengths[two.first - 1 : one.end].sum()  # by one more word
            assert longer > overlap or longer + lengths[one.end] > room
    assert shared


def test_a_word_counts_where_it_has_most_context():
    for lengths, room, overlap in cases():
        found = cover(lengths, room, overlap)
        for word, kept in enumerate(keepers(found, lengths)):
            contexts = [
                min(lengths[first:word].sum(), lengths[word + 1 : end].sum()) if first <= word < end else -1
                for first, end in found
            ]
            assert kept == contexts.index(max(contexts))


def test_a_sentence_that_fits_is_one_window_and_none_is_none():
    assert cover(np.array([3, 4, 3]), 10, 5) == [(0, 3)]
    assert cover(np.array([], np.int64), 10, 5) == []


def test_words_of_one_token():
    assert cover(np.ones(10, np.int64), 4, 0) == [(0, 4), (4, 8), (8, 10)]
    assert cover(np.ones(10, np.int64), 4, 2) == [(0, 4), (2, 6), (4, 8), (6, 10)]
