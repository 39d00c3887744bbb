import collections
import dataclasses

import numpy as np
import pytest

from bert_jax.data import masking
from bert_jax.data.config import DataConfig

CONFIG = DataConfig(sequence_length=128, max_predictions=20)
# Ids below 60 begin a word, the others go on; 0 is special.
WORD_STARTS = np.arange(100) < 60


def make_tokens(count, seed=0, length=None, with_b=True):
    """`count` examples [CLS] A [SEP] B [SEP] of random ids and lengths."""
    rng = np.random.default_rng(seed)
    length = rng.integers(6, 129, count) if length is None else np.full(count, length)
    a_length = rng.integers(1, length - 3) if with_b else length - 2
    first = np.cumsum(length) - length
    example = np.repeat(np.arange(count), length)
    position = np.arange(length.sum()) - first[example]
    is_special = (position == 0) | (position == length[example] - 1) | (position == a_length[example] + 1)
    ids = np.where(is_special, 0, rng.integers(1, 100, len(position))).astype(np.int32)
    key = (np.arange(count) * 977 + seed * 7919).astype(np.uint32)
    return masking.Tokens(ids, example, position, is_special, first, a_length + 1, length, key)


def one_example(tokens, i):
    inside = tokens.example == i
    parts = {name: getattr(tokens, name)[inside] for name in ("ids", "position", "is_special")}
    return masking.Tokens(
        example=np.zeros(inside.sum(), int),
        first=np.array([0]),
        separator=tokens.separator[i : i + 1],
        length=tokens.length[i : i + 1],
        key=tokens.key[i : i + 1],
        **parts,
    )


@pytest.fixture(scope="module")
def tokens():
    return make_tokens(20_000)


def config(**changes):
    return dataclasses.replace(CONFIG, **changes)


def words_of(tokens):
    """The word each token belongs to; a special token is one, and ends one."""
    begins = WORD_STARTS[tokens.ids] | tokens.is_special
    begins[1:] |= tokens.is_special[:-1]
    return np.cumsum(begins) - 1


def test_counts_follow_the_rate():
    length = np.array([3, 5, 10, 64, 128, 512])
    assert masking.num_predictions(length, 0.15, 80).tolist() == [1, 1, 2, 10, 19, 77]
    assert masking.num_predictions(length, 0.15, 20).tolist() == [1, 1, 2, 10, 19, 20]
    assert masking.num_predictions(np.array([4, 8]), 0.9, 20).tolist() == [1, 5]


def test_chosen_tokens_are_distinct_ordinary_and_uniform(tokens):
    chosen, decider = masking.choose(tokens, CONFIG, WORD_STARTS)
    counts = masking.num_predictions(tokens.length, 0.15, 20)
    np.testing.assert_array_equal(np.bincount(tokens.example[chosen], minlength=20_000), counts)
    assert (np.diff(chosen) > 0).all()
    assert not tokens.is_special[chosen].any()
    np.testing.assert_array_equal(decider, tokens.position[chosen])
    same = make_tokens(4000, length=100, with_b=False)
    chosen, _ = masking.choose(same, CONFIG, WORD_STARTS)
    share = np.bincount(same.position[chosen], minlength=100)[1:99] / 4000
    expected = 15 / 98
    assert abs(share - expected).max() < 5 * np.sqrt(expected / 4000)


@pytest.mark.parametrize("kind", ["token", "whole_word", "span"])
@pytest.mark.parametrize("rate", [0.05, 0.15, 0.4, 0.9])
def test_masks_do_not_depend_on_the_other_examples(tokens, kind, rate):
    few = make_tokens(300, seed=1)
    changed = config(masking=kind, mask_rate=rate, max_predictions=None)
    together, deciders = masking.choose(few, changed, WORD_STARTS)
    for i in range(0, 300, 7):
        mine = few.example[together] == i
        alone, decider = masking.choose(one_example(few, i), changed, WORD_STARTS)
        np.testing.assert_array_equal(alone, few.position[together[mine]])
        np.testing.assert_array_equal(decider, deciders[mine])


@pytest.mark.parametrize("kind", ["whole_word", "span"])
def test_words_are_chosen_whole_and_numbers_kept(tokens, kind):
    chosen, _ = masking.choose(tokens, config(masking=kind), WORD_STARTS)
    assert not tokens.is_special[chosen].any()
    assert (np.diff(chosen) > 0).all()
    counts = masking.num_predictions(tokens.length, 0.15, 20)
    made = np.bincount(tokens.example[chosen], minlength=20_000)
    assert (made <= counts).all()
    assert made.sum() > {"whole_word": 0.95, "span": 0.8}[kind] * counts.sum()
    assert made.min() == 1
    word = words_of(tokens)
    whole = np.bincount(word)
    taken = np.bincount(word[chosen], minlength=len(whole))
    # Words are cut only in examples where no word fits.
    ordinary = np.flatnonzero(~tokens.is_special)
    smallest = np.full(20_000, 1000)
    np.minimum.at(smallest, tokens.example[ordinary], whole[word[ordinary]])
    is_cut = (taken[word] > 0) & (taken < whole)[word]
    assert set(np.flatnonzero(smallest > counts)) == set(tokens.example[is_cut])


def test_whole_words_are_taken_as_the_released_loop_does(tokens):
    """Random order; a word that no longer fits is passed over; stop when the number is reached."""
    few = make_tokens(400, seed=2)
    chosen, _ = masking.choose(few, config(masking="whole_word"), WORD_STARTS)
    counts = masking.num_predictions(few.length, 0.15, 20)
    word = words_of(few)
    for i in range(400):
        units = collections.defaultdict(list)
        for t in np.flatnonzero((few.example == i) & ~few.is_special):
            units[word[t]].append(t)
        score = {
            u: (int(masking._scores(few.key[i : i + 1], few.position[ts[:1]])[0]) >> 8, ts[0])
            for u, ts in units.items()
        }
        picked = []
        for u in sorted(units, key=lambda u: (score[u], u)):
            if len(picked) + len(units[u]) <= counts[i]:
                picked += units[u]
        if picked:
            assert sorted(picked) == chosen[few.example[chosen] == i].tolist()


@pytest.mark.parametrize("masking_of", ["whole_word", "span"])
@pytest.mark.parametrize("length", [3, 4, 8, 33, 128])
def test_every_example_has_a_prediction_whatever_its_words_are(masking_of, length):
    """As in text without spaces, where a sentence is one word, or with spans of many words in short rows."""
    tokens = make_tokens(300, seed=4, length=length, with_b=False)
    for piece in (1, 99):  # each token a word; the whole sentence a word
        tokens.ids[~tokens.is_special] = piece
        chosen, _ = masking.choose(tokens, config(masking=masking_of, sequence_length=length), WORD_STARTS)
        made = np.bincount(tokens.example[chosen], minlength=300)
        counts = masking.num_predictions(tokens.length, 0.15, 20)
        assert made.min() >= 1
        assert (made <= counts).all()
        if piece == 99:  # divided into tokens, which fill the number
            assert (made == counts).all()
    # All positions are predicted in some example.
    assert set(tokens.position[chosen]) == set(range(1, length - 1))


def test_a_long_word_beside_short_ones_is_learned():
    """A word longer than the number of a full row would never be chosen whole."""
    tokens = make_tokens(2000, seed=5, length=128, with_b=False)
    tokens.ids[~tokens.is_special] = np.where(tokens.position[~tokens.is_special] <= 4, 1, 99)  # words of 1, 1, 1, 123
    chosen, _ = masking.choose(tokens, config(masking="whole_word"), WORD_STARTS)
    assert len(chosen) == 2000 * 19
    share = np.bincount(tokens.position[chosen], minlength=128)[1:127] / 2000
    assert abs(share - 19 / 126).max() < 0.05


def test_spans_have_geometric_lengths_stay_within_segments_and_share_their_fate():
    """With room for a tenth of them only, spans are drawn nearly without regard to their length."""
    plain = make_tokens(4000, seed=3, length=512)
    words = np.zeros(len(plain.ids), np.int32) + np.where(plain.is_special, 0, 1)
    plain = dataclasses.replace(plain, ids=words.astype(np.int32))  # every token a word
    wide = config(masking="span", sequence_length=512, max_predictions=80, mask_rate=0.15)
    chosen, decider = masking.choose(plain, wide, WORD_STARTS)
    span = plain.example[chosen] * 1000 + decider
    _, first, lengths = np.unique(span, return_index=True, return_counts=True)
    assert lengths.max() == masking.LONGEST_SPAN
    # Each span is contiguous and begins where its fate is drawn.
    np.testing.assert_array_equal(plain.position[chosen[first]], decider[first])
    np.testing.assert_array_equal(plain.position[chosen] - decider < masking.LONGEST_SPAN, True)
    shares = 0.2 * 0.8 ** np.arange(10)
    shares /= shares.sum()
    seen = np.bincount(lengths, minlength=11)[1:] / len(lengths)
    # Spans at a segment's end are shorter, and the last ones are those that fit: a little more of the short.
    assert abs(seen - shares).max() < 0.04
    assert abs(lengths.mean() - 3.8) < 0.3
    # No token after a special one belongs to a span begun before it.
    between = [
        plain.is_special[c - (p - d) : c + 1].any()
        for c, p, d in zip(chosen[:5000], plain.position[chosen[:5000]], decider[:5000], strict=True)
    ]
    assert not any(between)
    # Positions are masked evenly.
    share = np.bincount(plain.position[chosen], minlength=512)[10:500] / 4000
    assert share.min() > 0.6 * share.mean()


def test_new_keys_give_new_masks(tokens):
    other = dataclasses.replace(tokens, key=tokens.key + np.uint32(1))
    for kind in ("token", "whole_word", "span"):
        left, _ = masking.choose(tokens, config(masking=kind), WORD_STARTS)
        right, _ = masking.choose(other, config(masking=kind), WORD_STARTS)
        both = len(np.intersect1d(left, right)) / len(left)
        assert both < 0.2


@pytest.mark.parametrize(("mask", "random"), [(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.5, 0.2)])
def test_replacements_have_their_shares(tokens, mask, random):
    chosen, decider = masking.choose(tokens, CONFIG, WORD_STARTS)
    ordinary = np.arange(5, 100)
    targets = np.full(len(chosen), 50)
    shares = config(mask_share=mask, random_share=random)
    got = masking.replacements(
        tokens.key[tokens.example[chosen]], tokens.position[chosen], decider, targets, shares, 4, ordinary
    )
    assert abs((got == 4).mean() - mask) < 0.005
    assert abs((got == 50).mean() - ((1 - mask - random) + random / 95)) < 0.005
    drawn = got[(got != 4) & (got != 50)]
    if random:
        assert set(drawn) == set(ordinary) - {50}
        seen = np.delete(np.bincount(drawn, minlength=100), [0, 1, 2, 3, 4, 50]) / len(drawn)
        assert abs(seen - 1 / 94).max() < 5 * np.sqrt(1 / 94 / len(drawn))
