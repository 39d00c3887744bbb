"""Scores against plain loops that were written from the definitions, and where they are undefined."""

import itertools
import math
import warnings

import numpy as np
import pytest

from bert_jax.objectives.agreement import (
    accuracy,
    calibration,
    class_f1,
    confusion_matrix,
    macro_f1,
    matthews,
    mean_squared_error,
    micro_f1,
    pearson,
    share_interval,
    spearman,
)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def ids(rng):
    """Gold and predicted classes: often few examples, few classes, or one class only."""
    size, classes = rng.integers(1, 30), rng.integers(1, 6)
    gold = rng.integers(0, classes, size)
    predicted = np.where(rng.random(size) < 0.5, gold, rng.integers(0, classes, size))
    return gold, predicted


def label_sets(rng):
    shape, rate = (rng.integers(1, 12), rng.integers(1, 5)), rng.random()
    gold = rng.random(shape) < rate
    return gold, gold ^ (rng.random(shape) < 0.3)


def numbers(rng):
    """Numbers with ties, offsets and scales."""
    size, scale, offset = rng.integers(2, 20), 10.0 ** rng.integers(-9, 9), rng.choice([0, 1, 1000])
    gold = rng.integers(0, 4, size).astype(float)
    predicted = (gold + rng.normal(0, 1, size).round(rng.integers(0, 3)) + offset) * scale
    return gold, predicted


def plain_f1(gold, predicted):
    hits = sum(one and other for one, other in zip(gold, predicted, strict=True))
    marked = sum(map(bool, gold)) + sum(map(bool, predicted))
    return 2 * hits / marked if marked else None


def mean(values):
    values = [x for x in values if x is not None]
    return sum(values) / len(values) if values else None


def plain_pearson(x, y):
    """In exact arithmetic up to the division."""
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    pairs = [(a - mean_x, b - mean_y) for a, b in zip(x, y, strict=True)]
    spread = math.sqrt(math.fsum(a * a for a, _ in pairs)) * math.sqrt(math.fsum(b * b for _, b in pairs))
    return math.fsum(a * b for a, b in pairs) / spread


def plain_ranks(x):
    """A number's rank is one more than how many are smaller, plus half of how many others are equal."""
    return [1 + sum(b < a for b in x) + (sum(b == a for b in x) - 1) / 2 for a in x]


@pytest.mark.parametrize("seed", range(50))
def test_scores_of_classes(seed):
    gold, predicted = ids(np.random.default_rng(seed))
    pairs = list(zip(gold.tolist(), predicted.tolist(), strict=True))
    classes = sorted({*gold.tolist(), *predicted.tolist()})
    f1 = {c: plain_f1([g == c for g, _ in pairs], [p == c for _, p in pairs]) for c in range(6)}
    assert accuracy(gold, predicted) == pytest.approx(sum(g == p for g, p in pairs) / len(pairs))
    assert all(class_f1(gold, predicted, c) == pytest.approx(f1[c]) for c in classes)
    assert class_f1(gold, predicted, 99) is None
    assert macro_f1(gold, predicted) == pytest.approx(mean(f1[c] for c in classes))
    matrix = confusion_matrix(gold, predicted, 7)
    assert all(matrix[c] == pairs.count(c) for c in itertools.product(range(7), repeat=2))


@pytest.mark.parametrize("seed", range(50))
def test_scores_of_several_labels(seed):
    gold, predicted = label_sets(np.random.default_rng(seed))
    f1 = [plain_f1(*columns) for columns in zip(gold.T, predicted.T, strict=True)]
    right = [list(g) == list(p) for g, p in zip(gold, predicted, strict=True)]
    assert accuracy(gold, predicted) == pytest.approx(sum(right) / len(right))
    assert [class_f1(gold, predicted, c) for c in range(len(f1))] == pytest.approx(f1)
    assert macro_f1(gold, predicted) == pytest.approx(mean(f1))
    assert micro_f1(gold, predicted) == pytest.approx(plain_f1(gold.ravel(), predicted.ravel()))


@pytest.mark.parametrize("seed", range(50))
def test_matthews_is_the_correlation_of_indicators(seed):
    """Over all pairs of an example and a class, each centred on the mean of its class (Gorodkin 2004)."""
    gold, predicted = ids(np.random.default_rng(seed))
    one, other = (np.eye(6)[x] - np.eye(6)[x].mean(0) for x in (gold, predicted))
    if not one.any():
        assert matthews(gold, predicted) is None
    elif not other.any():
        assert matthews(gold, predicted) == 0
    else:
        expected = (one * other).sum() / math.sqrt((one**2).sum() * (other**2).sum())
        assert matthews(gold, predicted) == pytest.approx(expected)


def test_matthews_does_not_overflow():
    gold = np.arange(2_000_000) % 3
    assert matthews(gold, gold) == 1
    assert abs(matthews(gold, np.roll(gold, 1)) + 0.5) < 1e-5


@pytest.mark.parametrize("seed", range(50))
def test_scores_of_numbers(seed):
    gold, predicted = numbers(np.random.default_rng(seed))
    expected = math.fsum((a - b) ** 2 for a, b in zip(gold, predicted, strict=True)) / len(gold)
    assert mean_squared_error(gold, predicted) == pytest.approx(expected)
    if len(set(gold)) == 1 or len(set(predicted)) == 1:
        assert pearson(gold, predicted) is None
        assert spearman(gold, predicted) is None
    else:
        assert pearson(gold, predicted) == pytest.approx(plain_pearson(gold, predicted), abs=1e-9)
        expected = plain_pearson(plain_ranks(gold), plain_ranks(predicted))
        assert spearman(gold, predicted) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("score", [pearson, spearman])
@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1, 1e200, 1.7e308])
def test_correlations_do_not_depend_on_the_scale(score, scale):
    gold, predicted = np.array([0.25, -1, 0.5, 1]), np.array([-1, 0.25, 0.75, 0.5]) * scale
    assert score(gold, predicted) == pytest.approx(score(gold, predicted / scale), abs=1e-4)
    assert score(gold, gold * scale) == pytest.approx(1)
    assert score(gold, -gold * scale) == pytest.approx(-1)


def test_a_spread_that_is_small_beside_the_mean_counts():
    seconds = 1.7e9 + np.array([0.0, 1, 2, 5])
    assert pearson(seconds, seconds - 1.7e9) == pytest.approx(1)


@pytest.mark.parametrize("score", [pearson, spearman])
@pytest.mark.parametrize("constant", [0.0, 0.1, 3.7, -1e300])
def test_constant_numbers_have_no_correlation(score, constant):
    varied, same = np.linspace(0, 5, 7), np.full(7, constant)
    assert score(varied, same) is None
    assert score(same, varied) is None
    assert score(varied[:1], varied[:1]) is None


def test_predictions_that_differ_by_their_rounding_are_constant():
    gold, same = np.arange(6.0), np.full(6, 0.1, np.float32)
    same[::2] = np.nextafter(same[0], np.float32(1))
    assert pearson(gold, same) is None
    assert spearman(gold, same) is None
    assert pearson(gold, same.astype(np.float64)) is not None


@pytest.mark.parametrize("score", [pearson, spearman, mean_squared_error])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_have_no_score(score, wrong):
    fine, broken = np.arange(4.0), np.array([0, 1, wrong, 3])
    assert score(fine, broken) is None
    assert score(broken, fine) is None
    assert score(broken, broken) is None


def test_an_error_beyond_floats_is_undefined():
    assert mean_squared_error(np.array([1e200]), np.array([-1e200])) is None


def test_no_examples_have_no_scores():
    none = np.array([], int)
    numbers, no_labels = none.astype(float), np.zeros((0, 3), bool)
    assert [score(none, none) for score in (accuracy, macro_f1, matthews)] == [None] * 3
    assert [score(numbers, numbers) for score in (pearson, spearman, mean_squared_error)] == [None] * 3
    assert [score(no_labels, no_labels) for score in (accuracy, macro_f1, micro_f1)] == [None] * 3
    assert share_interval(0, 0) is None
    assert calibration(none, np.zeros((0, 3))) is None
    assert not confusion_matrix(none, none, 3).any()


def test_labels_that_nobody_has_or_predicts_do_not_count():
    nothing = np.zeros((4, 2), bool)
    assert [score(nothing, nothing) for score in (macro_f1, micro_f1)] == [None, None]
    some = nothing.copy()
    some[0, 0] = True
    assert macro_f1(some, some) == 1
    assert macro_f1(nothing, some) == 0


def test_one_class_is_undefined_in_gold_and_worth_nothing_in_predictions():
    assert matthews(np.array([1, 1, 0, 1]), np.array([1, 1, 1, 1])) == 0
    assert matthews(np.array([1, 1, 1]), np.array([1, 0, 1])) is None
    assert matthews(np.array([1, 1, 1]), np.array([1, 1, 1])) is None
    assert matthews(np.array([1, 0, 1, 1, 0]), np.array([1, 0, 0, 1, 1])) == pytest.approx(1 / 6)


def test_names_agree_where_indices_do_not():
    checkpoint, data = ("contradiction", "entailment", "neutral"), ("entailment", "neutral", "contradiction")
    argmax, gold = np.array([1, 2, 0]), np.array([0, 1, 2])
    assert accuracy(gold, argmax) == 0
    assert accuracy(np.array(data)[gold], np.array(checkpoint)[argmax]) == 1


def test_hidden_labels_are_refused():
    hidden = np.full(3, -1)
    for score in (accuracy, macro_f1, matthews):
        with pytest.raises(ValueError, match="3 gold labels are negative"):
            score(hidden, np.array([0, 1, 0]))


def test_an_error_tells_scaled_from_unscaled_predictions():
    gold, scaled = np.array([0, 2.5, 5]), np.array([0, 0.5, 1])
    assert mean_squared_error(gold, 5 * scaled) == 0
    assert mean_squared_error(gold, scaled) == pytest.approx(20 / 3)
    assert pearson(gold, scaled) == pytest.approx(1)


def test_an_accuracy_below_the_majority_lies_within_the_interval():
    """The 71 examples of WNLI."""
    low, high = share_interval(32, 71)
    assert (low, high) == pytest.approx((0.3405, 0.5661), abs=5e-4)
    assert low < 40 / 71 < high


@pytest.mark.parametrize(("hits", "examples"), [(0, 9), (9, 9), (1, 1), (32, 71), (500, 1000)])
def test_the_ends_of_an_interval_are_shares_just_as_far_as_allowed(hits, examples):
    """At each end, the share that was found is 1.96 standard deviations away (Wilson 1927)."""
    for end in share_interval(hits, examples):
        deviation = math.sqrt(end * (1 - end) / examples)
        apart = abs(hits / examples - end)
        assert apart == pytest.approx(1.95996398 * deviation) or end == hits / examples


def test_shapes_must_agree():
    for score in (accuracy, macro_f1, matthews, pearson):
        with pytest.raises(ValueError, match="shape"):
            score(np.zeros(3), np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"\[examples, C\]"):
        micro_f1(np.zeros(3, int), np.zeros(3, int))
    with pytest.raises(ValueError, match="probabilities of shape"):
        calibration(np.zeros(3, int), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="class 3 is not one of 3"):
        confusion_matrix(np.array([0]), np.array([3]), 3)


def plain_calibration(right, probabilities, num_bins):
    bins = [[] for _ in range(num_bins)]
    for hit, p in zip(right, probabilities, strict=True):
        bins[max(math.ceil(p * num_bins) - 1, 0)].append((hit, p))
    gaps = [abs(sum(hit for hit, _ in one) - sum(p for _, p in one)) for one in bins]
    return sum(gaps) / len(right), [len(one) for one in bins]


@pytest.mark.parametrize("seed", range(20))
def test_calibration_of_classes(seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(4) * rng.choice([0.1, 1]), 50)
    gold = rng.integers(0, 4, 50)
    found = calibration(gold, probabilities, 10)
    right = [row.argmax() == label for row, label in zip(probabilities, gold, strict=True)]
    error, counts = plain_calibration(right, probabilities.max(-1), 10)
    assert found.error == pytest.approx(error)
    assert [one.count for one in found.bins] == counts
    for one in found.bins:
        assert (one.probability is None) == (one.right is None) == (not one.count)
        assert not one.count or one.low < one.probability <= one.high
    assert found.error == pytest.approx(sum(x.count * abs(x.probability - x.right) for x in found.bins if x.count) / 50)


def test_calibration_of_several_labels_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    gold, probabilities = rng.random((20, 3)) < 0.4, rng.random((20, 3))
    error, counts = plain_calibration(gold.ravel(), probabilities.ravel(), 15)
    found = calibration(gold, probabilities)
    assert found.error == pytest.approx(error)
    assert [one.count for one in found.bins] == counts


def test_bins_include_their_upper_ends():
    found = calibration(np.array([[1, 0, 1, 0, 1]]), np.array([[0.0, 0.25, 0.5, 0.75, 1.0]]), 4)
    assert [one.count for one in found.bins] == [2, 1, 1, 1]
    assert [one.right for one in found.bins] == [0.5, 1, 0, 1]
    assert [(one.low, one.high) for one in found.bins] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]


def test_calibration_needs_finite_probabilities():
    assert calibration(np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 1]])) is None
