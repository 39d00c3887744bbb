import numpy as np
import pytest

from bert_jax.data import masking
from bert_jax.tokenization import WordPieceTokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(95))), True)


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    length = rng.integers(6, 129, 20_000)
    return np.arange(20_000).astype(np.uint32) * np.uint32(977), rng.integers(1, length - 4), length


def test_counts_follow_the_rate():
    length = np.array([5, 10, 64, 128, 512])
    assert masking.num_predictions(length, 0.15, 80, 3).tolist() == [1, 2, 10, 19, 77]
    assert masking.num_predictions(length, 0.15, 20, 3).tolist() == [1, 2, 10, 19, 20]
    assert masking.num_predictions(np.array([4]), 0.9, 20, 3).tolist() == [1]


def test_chosen_positions_are_distinct_ordinary_and_uniform(examples):
    keys, a_length, length = examples
    counts = masking.num_predictions(length, 0.15, 20, 3)
    masks = masking.choose(keys, a_length, length, counts, 128)
    np.testing.assert_array_equal(np.bincount(masks.example), counts)
    assert len(np.unique(masks.example * 1000 + masks.position)) == len(masks.position)
    for special in (0, a_length[masks.example] + 1, length[masks.example] - 1):
        assert not (masks.position == special).any()
    assert (masks.position < length[masks.example]).all()
    same = length == 100
    share = np.bincount(masks.position[same[masks.example]], minlength=100)[1:99] / same.sum()
    expected = 0.15 * 100 / 97
    assert abs(share[5:] - expected).max() < 6 * np.sqrt(expected / same.sum())


def test_masks_do_not_depend_on_the_other_examples(examples):
    keys, a_length, length = examples
    counts = masking.num_predictions(length, 0.15, 20, 3)
    together = masking.choose(keys, a_length, length, counts, 128)
    ends = np.searchsorted(together.example, np.arange(len(keys) + 1))
    for i in range(0, 20_000, 7):
        alone = masking.choose(keys[i : i + 1], a_length[i : i + 1], length[i : i + 1], counts[i : i + 1], 128)
        np.testing.assert_array_equal(alone.position, together.position[ends[i] : ends[i + 1]])


def test_replacements_are_80_10_10(examples, tokenizer):
    keys, a_length, length = examples
    masks = masking.choose(keys, a_length, length, masking.num_predictions(length, 0.15, 20, 3), 128)
    ordinary = np.setdiff1d(np.arange(100), tokenizer.special_ids)
    targets = np.full(len(masks.position), 50)
    got = masking.replacements(masks, keys, targets, tokenizer, ordinary)
    assert abs((got == tokenizer.mask_id).mean() - 0.8) < 0.005
    assert abs((got == 50).mean() - (0.1 + 0.1 / 95)) < 0.005
    drawn = got[(got != tokenizer.mask_id) & (got != 50)]
    assert set(drawn) == set(ordinary) - {50}
    shares = np.delete(np.bincount(drawn, minlength=100), [0, 1, 2, 3, 4, 50]) / len(drawn)
    assert abs(shares - 1 / 94).max() < 5 * np.sqrt(1 / 94 / len(drawn))
