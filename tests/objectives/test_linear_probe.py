"""The classifier of a linear probe, and its scores."""

import numpy as np
import pytest

from bert_jax.objectives.linear_probe import PENALTY, LinearProbe, classify


def blobs(count, classes, width, seed, spread=2.0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(classes, width))
    labels = rng.integers(0, classes, count)
    # Features of very different sizes, one of them constant.
    features = (centres[labels] + spread * rng.normal(size=(count, width))) * np.logspace(-2, 2, width) + 5
    features[:, 0] = 3.1
    return features.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 5])
def test_it_is_the_logistic_regression_of_scikit_learn(classes):
    linear_model, preprocessing = (pytest.importorskip(f"sklearn.{name}") for name in ("linear_model", "preprocessing"))
    features, labels = blobs(300, classes, 12, seed=1)
    unseen, gold = blobs(200, classes, 12, seed=2)
    scaler = preprocessing.StandardScaler().fit(features.astype(np.float64))
    model = linear_model.LogisticRegression(C=1 / (PENALTY * len(labels)), tol=1e-8, max_iter=5000)
    model.fit(scaler.transform(features.astype(np.float64)), labels)
    theirs = model.predict(scaler.transform(unseen.astype(np.float64)))
    # scikit-learn fits a single row of weights to two classes, which is the same with half the penalty.
    penalty = PENALTY if classes > 2 else 2 * PENALTY
    ours = classify(features, labels, unseen, penalty)
    assert np.array_equal(ours, theirs)
    assert 1 / classes + 0.2 < np.mean(ours == gold) < 1
    assert np.array_equal(ours, classify(features, labels, unseen, penalty))


def test_it_finds_the_minimum_that_newton_finds():
    """One feature and two classes: the gap of the weights w solves w · penalty / 2 = mean of the slopes."""
    x = np.array([-3.0, -1.0, 0.5, 1.0, 2.5])[:, None]
    labels = np.array([0, 1, 0, 1, 1])
    z = (x[:, 0] - x.mean()) / x.std()
    gap, bias = 0.0, 0.0
    for _ in range(50):
        share = 1 / (1 + np.exp(-(gap * z + bias)))
        slope = np.array([np.mean((share - labels) * z) + PENALTY * gap / 2, np.mean(share - labels)])
        curve = np.mean(share * (1 - share) * np.array([[z * z, z], [z, z * np.ones(5) * 0 + 1]]), axis=-1)
        curve[0, 1] = curve[1, 0] = np.mean(share * (1 - share) * z)
        curve[0, 0] += PENALTY / 2
        gap, bias = np.array([gap, bias]) - np.linalg.solve(curve, slope)
    boundary = -bias / gap * x.std() + x.mean()
    near = np.array([[boundary - 1e-3], [boundary + 1e-3]])
    assert classify(x, labels, near).tolist() == [0, 1]


def probe(labels, scored):
    return LinearProbe("colour", "colour", {}, np.array(labels), np.array(scored), "f")


def test_scores_stand_beside_the_majority_of_the_fitted_part():
    labels = [[0, 0, 1], [0, 1, -1], [1, 1, 0]]
    scored = [[False] * 3, [False, False, False], [True, True, True]]
    features = np.array(labels)[..., None] * np.array([1.0, -2.0])
    one = probe(labels, scored)
    found = one.score(features)
    assert found == {
        "probe_colour_accuracy": 1.0,
        "probe_colour_macro_f1": 1.0,
        "probe_colour_majority": pytest.approx(1 / 3),
        "probe_colour_majority_macro_f1": pytest.approx(0.25),
    }
    assert {score.name for score in one.scores} | {score.baseline for score in one.scores} == found.keys()


def test_features_that_are_not_finite_leave_the_scores_undefined():
    features = np.full((1, 4, 2), np.nan)
    found = probe([[0, 1, 0, 1]], [[False, False, True, True]]).score(features)
    assert found.keys() == {"probe_colour_majority", "probe_colour_majority_macro_f1"}
