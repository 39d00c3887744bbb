"""Scores against scikit-learn, SciPy and seqeval, which have their own code, on random and on edge cases."""

import itertools
import warnings

import numpy as np
import pytest

from bert_jax.objectives import agreement as own
from bert_jax.objectives.entities import entities, score_entities
from bert_jax.objectives.tags import BILOU, BIOES, IOB1, IOB2, word_accuracy
from tests.objectives.test_agreement import ids, label_sets, numbers
from tests.objectives.test_entities import noisy, valid
from tests.objectives.test_word_tags import judge

WHY = "the parity tests compare with scikit-learn, SciPy and seqeval: pip install scikit-learn scipy seqeval"
sklearn = pytest.importorskip("sklearn.metrics", reason=WHY)
calibration_curve = pytest.importorskip("sklearn.calibration", reason=WHY).calibration_curve
scipy = pytest.importorskip("scipy.stats", reason=WHY)
seqeval = pytest.importorskip("seqeval.metrics", reason=WHY)
schemes = pytest.importorskip("seqeval.scheme", reason=WHY)

scores_of = seqeval.sequence_labeling.precision_recall_fscore_support
STRICT = {IOB2: schemes.IOB2, BIOES: schemes.IOBES, BILOU: schemes.BILOU}


@pytest.fixture(autouse=True)
def quiet():
    """They warn where a score is undefined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def defined(value):
    """None where the others give NaN."""
    return None if value is None or not np.isfinite(value) else pytest.approx(value, rel=1e-12, abs=1e-12)


def test_classes():
    for seed in range(300):
        gold, predicted = ids(np.random.default_rng(seed))
        assert own.accuracy(gold, predicted) == defined(sklearn.accuracy_score(gold, predicted))
        assert own.macro_f1(gold, predicted) == defined(sklearn.f1_score(gold, predicted, average="macro"))
        f1 = sklearn.f1_score(gold, predicted, labels=range(6), average=None, zero_division=np.nan)
        assert [own.class_f1(gold, predicted, index) for index in range(6)] == [defined(one) for one in f1]
        matrix = sklearn.confusion_matrix(gold, predicted, labels=range(6))
        np.testing.assert_array_equal(own.confusion_matrix(gold, predicted, 6), matrix)
        if len(set(gold)) == 1:
            assert own.matthews(gold, predicted) is None
        else:
            assert own.matthews(gold, predicted) == defined(sklearn.matthews_corrcoef(gold, predicted))


def test_many_examples():
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 77, 20_000)
    predicted = np.where(rng.random(len(gold)) < 0.8, gold, rng.integers(0, 77, len(gold)))
    assert own.macro_f1(gold, predicted) == defined(sklearn.f1_score(gold, predicted, average="macro"))
    assert own.matthews(gold, predicted) == defined(sklearn.matthews_corrcoef(gold, predicted))
    assert own.pearson(gold, predicted) == defined(scipy.pearsonr(gold, predicted)[0])
    assert own.spearman(gold, predicted) == defined(scipy.spearmanr(gold, predicted)[0])


def test_several_labels():
    for seed in range(300):
        gold, predicted = label_sets(np.random.default_rng(seed))
        assert own.accuracy(gold, predicted) == defined((gold == predicted).all(-1).mean())
        if gold.shape[1] == 1:  # scikit-learn takes one column for two classes
            continue
        assert own.accuracy(gold, predicted) == defined(sklearn.accuracy_score(gold, predicted))
        for average, score in (("macro", own.macro_f1), ("micro", own.micro_f1)):
            expected = sklearn.f1_score(gold, predicted, average=average, zero_division=np.nan)
            assert score(gold, predicted) == defined(expected)


def test_numbers():
    for seed in range(300):
        gold, predicted = numbers(np.random.default_rng(seed))
        assert own.mean_squared_error(gold, predicted) == defined(sklearn.mean_squared_error(gold, predicted))
        pearson, spearman = own.pearson(gold, predicted), own.spearman(gold, predicted)
        assert pearson is None or pearson == pytest.approx(scipy.pearsonr(gold, predicted)[0], rel=1e-9, abs=1e-9)
        assert (pearson is None) == (not np.isfinite(scipy.pearsonr(gold, predicted)[0]))
        assert spearman == defined(scipy.spearmanr(gold, predicted)[0])


@pytest.mark.parametrize(("hits", "examples"), [(0, 1), (1, 1), (0, 30), (30, 30), (32, 71), (4000, 9815)])
def test_intervals(hits, examples):
    expected = scipy.binomtest(hits, examples).proportion_ci(method="wilson")
    assert own.share_interval(hits, examples) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_calibration():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        size, num_bins = rng.integers(1, 60), rng.integers(1, 20)
        probabilities = rng.random((size, 1)).round(rng.integers(1, 8))  # many on the edge of a bin
        gold = rng.random((size, 1)) < probabilities
        found = own.calibration(gold, probabilities, num_bins)
        right, mean = calibration_curve(gold.ravel(), probabilities.ravel(), n_bins=num_bins, pos_label=True)
        filled = [one for one in found.bins if one.count]
        np.testing.assert_allclose([one.right for one in filled], right, rtol=1e-12)
        np.testing.assert_allclose([one.probability for one in filled], mean, rtol=1e-12)


def cases(scheme, seed):
    """Gold that may break rules or not, and predictions nearer to it or farther."""
    rng = np.random.default_rng(seed)
    sentences, rate = rng.integers(1, 6), rng.random()
    gold = [list(valid(rng, scheme)) for _ in range(sentences)]
    if rng.random() < 0.5:
        gold = [noisy(rng, tags, scheme, 0.3) for tags in gold]
    return gold, [noisy(rng, tags, scheme, rate) for tags in gold]


def agree(found, gold, predicted):
    """Compares all scores; where they are undefined, seqeval gives 0."""
    precision, recall, f1, support = scores_of(gold, predicted, average=None)
    mine = [found.by_type[kind] for kind in sorted(found.by_type, key=lambda kind: kind or "_")]
    for values, expected in (
        ([one.precision for one in mine], precision),
        ([one.recall for one in mine], recall),
        ([one.f1 for one in mine], f1),
        ([one.gold for one in mine], support),
    ):
        assert [value or 0 for value in values] == pytest.approx(list(expected), abs=1e-12)
    micro = scores_of(gold, predicted, average="micro")
    values = found.micro.precision, found.micro.recall, found.micro.f1, found.micro.gold
    assert [value or 0 for value in values] == pytest.approx(list(micro), abs=1e-12)
    if mine:
        macro = scores_of(gold, predicted, average="macro")[:3]
        assert (found.macro_precision, found.macro_recall, found.macro_f1) == pytest.approx(macro, abs=1e-12)


@pytest.mark.parametrize("scheme", [IOB1, IOB2, BIOES])
def test_entities_read_leniently(scheme):
    for seed in range(200):
        gold, predicted = cases(scheme, seed)
        found = score_entities(gold, predicted)
        agree(found, gold, predicted)
        assert (found.micro.f1 or 0) == pytest.approx(seqeval.f1_score(gold, predicted))
        assert word_accuracy(gold, predicted) == pytest.approx(seqeval.accuracy_score(gold, predicted))
        report = seqeval.classification_report(gold, predicted, output_dict=True) if found.by_type else {}
        assert {kind or "_" for kind in found.by_type} == report.keys() - {"micro avg", "macro avg", "weighted avg"}


@pytest.mark.parametrize("scheme", [IOB2, BIOES, BILOU])
def test_entities_read_strictly(scheme):
    for seed in range(200):
        gold, predicted = cases(scheme, seed)
        found = score_entities(gold, predicted, scheme)
        how = {"mode": "strict", "scheme": STRICT[scheme]}
        expected = seqeval.f1_score(gold, predicted, **how)
        assert (found.micro.f1 or 0) == pytest.approx(expected)
        if found.by_type:
            report = seqeval.classification_report(gold, predicted, output_dict=True, **how)
            names = {"precision": "precision", "recall": "recall", "f1": "f1-score", "gold": "support"}
            for kind, own_scores in {**found.by_type, "micro avg": found.micro}.items():
                row = report[kind or "_"]
                values = {there: getattr(own_scores, here) or 0 for here, there in names.items()}
                assert values == pytest.approx(dict(row)), kind
            row = report["macro avg"]
            values = found.macro_precision, found.macro_recall, found.macro_f1
            assert values == pytest.approx((row["precision"], row["recall"], row["f1-score"]))


def test_valid_tags_read_strictly_in_iob1():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        for _ in range(3):
            tags = valid(rng, IOB1)
            expected = [(one.tag, one.start, one.end - 1) for one in schemes.Tokens(tags, schemes.IOB1).entities]
            assert entities(tags, IOB1) == [(kind.replace("_", ""), *words) for kind, *words in expected]


def test_all_short_sentences_in_bioes():
    for letters, kinds in itertools.product(itertools.product("OBIES", repeat=4), itertools.product("XY", repeat=4)):
        tags = ["O" if letter == "O" else f"{letter}-{kind}" for letter, kind in zip(letters, kinds, strict=True)]
        assert entities(tags) == seqeval.sequence_labeling.get_entities(tags)
        strict = schemes.Tokens(tags, schemes.IOBES).entities
        assert entities(tags, BIOES) == [(one.tag, one.start, one.end - 1) for one in strict]


def test_the_scores_of_a_run():
    rng = np.random.default_rng(0)
    for _ in range(100):
        gold, said = ([list(rng.choice(["O", "B-A", "I-A", "B-B", "I-B"], n)) for n in (5, 1, 9)] for _ in range(2))
        for strict, settings in ((False, {}), (True, {"mode": "strict", "scheme": schemes.IOB2})):
            found = judge(gold, said, strict=strict)
            for name in ("f1", "precision", "recall"):
                expected = getattr(seqeval, f"{name}_score")(gold, said, **settings)
                # Where it is undefined, seqeval gives 0 and a run has no score.
                assert found.get(f"label_{name}", 0.0) == pytest.approx(expected, abs=1e-12)
