import numpy as np
import pytest

from bert_jax.data.masking import num_predictions
from bert_jax.data.packing import pack


@pytest.mark.parametrize(("count", "sequence", "slots"), [(5000, 128, 4), (3000, 512, 16), (1000, 128, 1), (1, 64, 4)])
def test_rows_hold_every_example_once_within_all_limits(count, sequence, slots):
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.integers(4, 2 * sequence, count), sequence)
    limit = -(-int(0.15 * sequence) // 4) * 4
    predictions = num_predictions(lengths, 0.15, limit)
    rows = pack(lengths, predictions, rng.permutation(count), sequence, limit, slots)
    used = rows[rows >= 0]
    np.testing.assert_array_equal(np.sort(used), np.arange(count))
    assert rows.shape[1] == slots
    padded = np.append(lengths, 0)[rows]
    assert padded.sum(1).max() <= sequence
    assert np.append(predictions, 0)[rows].sum(1).max() <= limit
    # Examples come first in their row.
    assert ((rows[:, 1:] >= 0) <= (rows[:, :-1] >= 0)).all()


def test_short_examples_fill_rows():
    rng = np.random.default_rng(1)
    lengths = np.clip(rng.lognormal(5, 0.7, 20_000).astype(int), 8, 512)
    rows = pack(lengths, num_predictions(lengths, 0.15, 80), rng.permutation(20_000), 512, 80, 16)
    assert lengths.sum() / (512 * len(rows)) > 0.97


def test_order_decides_who_sits_with_whom():
    lengths, predictions = np.full(100, 30), np.full(100, 4)
    first = pack(lengths, predictions, np.arange(100), 64, 12, 2)
    second = pack(lengths, predictions, np.arange(100)[::-1], 64, 12, 2)
    assert (first != second).any()
