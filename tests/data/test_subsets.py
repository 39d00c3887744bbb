"""Subsets of training examples: stratified, nested, the same again."""

import collections
import itertools

import numpy as np
import pytest

from bert_jax.data.subsets import subset
from bert_jax.errors import ConfigError

STRATA = ["common"] * 70 + ["half"] * 25 + ["rare"] * 4 + ["single"]


def counts(chosen):
    return dict(collections.Counter(STRATA[i] for i in chosen))


def test_labels_keep_their_shares_and_each_has_one():
    assert counts(subset(STRATA, 4, seed=0)) == {"common": 1, "half": 1, "rare": 1, "single": 1}
    assert counts(subset(STRATA, 20, seed=0)) == {"common": 13, "half": 5, "rare": 1, "single": 1}
    assert counts(subset(STRATA, 50, seed=0)) == {"common": 35, "half": 12, "rare": 2, "single": 1}
    assert list(subset(STRATA, 100, seed=0)) == list(range(100))


def test_a_smaller_subset_is_part_of_a_larger_one_and_each_seed_has_its_own():
    for seed in (0, 1):
        sizes = [set(subset(STRATA, count, seed)) for count in range(4, 101)]
        assert all(len(small) + 1 == len(large) and small < large for small, large in itertools.pairwise(sizes))
    assert list(subset(STRATA, 30, 5)) == list(subset(STRATA, 30, 5))
    assert list(subset(STRATA, 30, 5)) != list(subset(STRATA, 30, 6))


def test_without_strata_every_example_is_as_likely():
    drawn = np.bincount(np.concatenate([subset([None] * 10, 3, seed) for seed in range(1000)]), minlength=10)
    assert drawn.sum() == 3000
    assert abs(drawn - 300).max() < 60  # four standard deviations


@pytest.mark.parametrize(
    ("count", "message"),
    [(3, "num_train_examples=3 is less than the 4 labels .* at least 4"), (101, "=101 is more than the 100 of the")],
)
def test_too_few_and_too_many_are_refused(count, message):
    with pytest.raises(ConfigError, match=message):
        subset(STRATA, count, seed=0)
