import numpy as np
import pytest

from bert_jax.data.config import DataConfig, given_weights, source_shares
from bert_jax.data.mixture import WINDOW, Mixture
from bert_jax.errors import ConfigError

SHARES = np.array([0.5, 0.3, 0.15, 0.0499, 0.0001, 0.0])


@pytest.fixture(scope="module")
def mixture():
    return Mixture(SHARES, (0, 0))


def test_each_source_gets_its_share_and_its_rows_in_order(mixture):
    rows = np.arange(50 * WINDOW)
    source, index = mixture.locate(rows)
    for s, share in enumerate(SHARES):
        mine = np.sort(index[source == s])
        np.testing.assert_array_equal(mine, np.arange(len(mine)))  # each of its rows once, none left out
        assert abs(len(mine) - share * len(rows)) <= len(SHARES)


def test_any_row_is_found_alone(mixture):
    rows = np.arange(3 * WINDOW)
    source, index = mixture.locate(rows)
    fresh = Mixture(SHARES, (0, 0))
    for row in (2 * WINDOW + 17, 0, WINDOW - 1, WINDOW, 5):
        assert [x.tolist() for x in fresh.locate(np.array([row]))] == [[source[row]], [index[row]]]


def test_no_source_is_ever_owed_rows():
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 64, 65, 104, 700):
        for shares in (rng.dirichlet(np.full(count, 0.05)), np.full(count, 1 / count)):
            mixture = Mixture(shares, (1,))
            dealt = np.stack([mixture.dealt(k) for k in range(300)])
            assert (np.diff(dealt, axis=0) >= 0).all()
            np.testing.assert_array_equal(dealt.sum(1), np.arange(300) * mixture.window)
            assert mixture.window == WINDOW or count > 64  # no run of fewer sources gets other rows than before


@pytest.mark.parametrize("count", [70, 104, 300])
def test_many_sources_get_their_shares(count):
    mixture = Mixture(np.full(count, 1 / count), (0,))
    rows = np.arange(2 * mixture.window)
    source, index = mixture.locate(rows)
    for s in range(count):
        mine = np.sort(index[source == s])
        np.testing.assert_array_equal(mine, np.arange(len(mine)))
        assert abs(len(mine) - len(rows) / count) <= count


def test_rows_until_counts_what_was_dealt(mixture):
    source, _ = mixture.locate(np.arange(2 * WINDOW))
    for row in (0, 1, 100, WINDOW, WINDOW + 7):
        np.testing.assert_array_equal(mixture.rows_until(row), np.bincount(source[:row], minlength=len(SHARES)))


def test_the_order_is_drawn():
    source, _ = Mixture(np.array([0.5, 0.5]), (0,)).locate(np.arange(WINDOW))
    other, _ = Mixture(np.array([0.5, 0.5]), (1,)).locate(np.arange(WINDOW))
    assert (source != other).any()
    changes = (np.diff(source) != 0).mean()
    assert abs(changes - 0.5) < 0.05


def test_shares_by_weight_and_by_exponent():
    names, sizes = ("en", "de", "is"), np.array([1000, 100, 10])
    np.testing.assert_allclose(source_shares(DataConfig(), names, sizes), sizes / 1110)
    np.testing.assert_allclose(source_shares(DataConfig(source_exponent=0.0), names, sizes), np.full(3, 1 / 3))
    smoothed = source_shares(DataConfig(source_exponent=0.7), names, sizes)
    np.testing.assert_allclose(smoothed, sizes**0.7 / (sizes**0.7).sum())
    given = source_shares(DataConfig(source_weights="is=1, en=3"), names, sizes)
    np.testing.assert_allclose(given, [0.75, 0, 0.25])
    empty = source_shares(DataConfig(source_exponent=0.0), names, np.array([5, 0, 5]))
    np.testing.assert_allclose(empty, [0.5, 0, 0.5])


@pytest.mark.parametrize("text", ["en", "en=x", "en=-1,de=2", "en=0", "en=inf"])
def test_weights_of_another_form_are_refused(text):
    with pytest.raises(ConfigError, match=r"data\.source_weights"):
        given_weights(text)


def test_weights_for_sources_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match="but the corpus has en, de"):
        source_shares(DataConfig(source_weights="fr=1"), ("en", "de"), np.array([1, 1]))
    with pytest.raises(ConfigError, match="without text"):
        source_shares(DataConfig(source_weights="de=1"), ("en", "de"), np.array([1, 0]))
