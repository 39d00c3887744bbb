import numpy as np
import pytest

from bert_jax.reporting.smoothing import reach, smoothed, usual_range


@pytest.mark.parametrize("count", [1, 2, 20, 1000])
def test_constants_stay_and_single_outliers_do_not_move_them(count):
    values = np.full(count, 3.0)
    np.testing.assert_allclose(smoothed(values, reach(count)), values)
    if count > 5:
        values[count // 2] = 1e6
        np.testing.assert_allclose(smoothed(values, reach(count)), np.full(count, 3.0))


def test_a_smooth_value_is_the_mean_of_the_middle_half():
    values = np.array([5.0, 1, 4, 2, 30])
    # All five around the third: 1 2 4 5 30 without the lowest and the highest quarter, one value each.
    assert smoothed(values, 2)[2] == pytest.approx((2 + 4 + 5) / 3)
    # Three at the end: none is left out, for a quarter of three is less than one.
    assert smoothed(values, 2)[4] == pytest.approx((4 + 2 + 30) / 3)


def test_a_spike_does_not_widen_the_range():
    values = 2 + 8 * np.exp(-np.arange(200) / 20) + 0.1 * np.random.default_rng(0).normal(size=200)
    quiet = usual_range(values)
    assert quiet == (values.min(), values.max())
    values[100] = 1e4
    low, high = usual_range(values)
    assert (low, high) == pytest.approx(quiet, abs=1.0)
    low, high = usual_range(np.exp(values.clip(max=300)), log=True)
    assert np.log(high) < 12


@pytest.mark.parametrize(
    "values",
    [[7.0], [1.0, 1e6], [9.0, 7, 6, 5.5, 5.2, 5.1], [0.0, 0.5, 1, 0.5, 0], [1.0, 1, 1, 1, 1, 50]],
    ids=["one", "two", "slope", "warm-up", "end"],
)
def test_what_is_no_spike_is_shown(values):
    assert usual_range(np.array(values)) == (min(values), max(values))
