import numpy as np

from bert_jax.data import draws


def test_draws_are_what_they_are_for():
    assert draws.bits64(1, 2) == draws.bits64(1, 2)
    assert len({int(draws.bits64(*parts)) for parts in [(1, 2), (2, 1), (1,), (1, 2, 0), (0, 1, 2)]}) == 5
    np.testing.assert_array_equal(draws.bits64(3, np.arange(5))[2], draws.bits64(3, 2))


def test_uniform_is_uniform_and_uncorrelated():
    u = draws.uniform(7, np.arange(200_000))
    histogram, _ = np.histogram(u, bins=20, range=(0, 1))
    assert abs(histogram - 10_000).max() < 500  # five deviations
    for lag in (1, 2, 64):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 0.01
    assert abs(np.corrcoef(u, draws.uniform(8, np.arange(200_000)))[0, 1]) < 0.01


def test_integers_cover_their_range():
    values = draws.integers(np.array([1, 2, 5])[:, None], 3, np.arange(1000)[None])
    assert [sorted(set(row)) for row in values.tolist()] == [[0], [0, 1], [0, 1, 2, 3, 4]]


def test_permutation_is_one():
    order = draws.permutation(1000, 1, 2)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert (order != draws.permutation(1000, 1, 3)).any()
