"""Losses and scores against plain loops that were written from the definitions."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.objectives.labels import NUMBER, ONE, SEVERAL, Labels
from tests.objectives import small

NAMES = ("red", "green", "blue", "never")
WAYS = [(choose, of_tokens) for choose in (ONE, SEVERAL, NUMBER) for of_tokens in (False, True)]


def objective(choose, of_tokens=False, **settings):
    return Labels(names=("warmth",) if choose == NUMBER else NAMES, choose=choose, of_tokens=of_tokens, **settings)


def rows(choose, of_tokens=False, seed=0):
    """Labels of the first three names, garbage where nothing counts: unused slots, padding and some others."""
    rng = np.random.default_rng(seed)
    batch = small.core(seed)
    used = batch["example_ids"] > 0 if of_tokens else small.used_slots() > 0
    weights = (used & (rng.random(used.shape) < 0.9)).astype(np.float32)
    if choose == ONE:
        labels = np.where(weights > 0, rng.integers(0, 3, weights.shape), 3).astype(np.int32)
    elif choose == SEVERAL:
        labels = (rng.random((*weights.shape, len(NAMES))) < 0.4).astype(np.float32)
        labels[..., 3] = weights == 0
    else:
        labels = np.where(weights > 0, rng.normal(2, 1, weights.shape), 1e6).astype(np.float32)
    return batch | {"labels": labels, "label_weights": weights}


def all_rows(seed=0):
    """A batch for all ways at once, and the objective of each: one model, compiled once, learns them all."""
    batch, objectives = {}, []
    for choose, of_tokens in WAYS:
        name = f"{choose}_{'token' if of_tokens else 'example'}"
        own = rows(choose, of_tokens, seed)
        batch |= {f"{name}s": own.pop("labels"), f"{name}_weights": own.pop("label_weights")} | own
        objectives.append(objective(choose, of_tokens, name=name))
    return batch, objectives


def predictions(choose, batch, seed=1):
    """Random logits that lean to what is right, and never say the last name."""
    rng = np.random.default_rng(seed)
    labels = batch["labels"]
    if choose == NUMBER:
        return (rng.normal(2, 1, (*labels.shape, 1)) + 0.7 * labels[..., None] % 5).astype(np.float32)
    gold = np.eye(len(NAMES))[labels] if choose == ONE else labels
    logits = 2 * rng.normal(size=gold.shape) + 2 * gold - (choose == SEVERAL)
    logits[..., 3] = -9
    return logits.astype(np.float32)


def counted(batch, prediction):
    """(prediction, label) of each place that counts, in float64."""
    return [
        (np.asarray(prediction[tuple(place)], np.float64), np.asarray(batch["labels"][tuple(place)], np.float64))
        for place in np.argwhere(batch["label_weights"] > 0)
    ]


def loss_by_hand(choose, logits, label):
    if choose == NUMBER:
        return (logits[0] - label) ** 2
    if choose == ONE:
        return -np.log(np.exp(logits[int(label)]) / np.exp(logits).sum())
    yes = 1 / (1 + np.exp(-logits))
    return -np.mean([np.log(p) if gold else np.log(1 - p) for p, gold in zip(yes, label, strict=True)])


def sets_by_hand(choose, pairs):
    """What was said and what was right of each place, as sets of names."""
    if choose == ONE:
        return [({int(np.argmax(logits))}, {int(label)}) for logits, label in pairs]
    names = range(len(NAMES))
    return [({i for i in names if logits[i] > 0}, {i for i in names if label[i]}) for logits, label in pairs]


def macro_f1_by_hand(sets):
    found = []
    for name in range(len(NAMES)):
        both = sum(name in said and name in gold for said, gold in sets)
        wrong = sum(name in said and name not in gold for said, gold in sets)
        missed = sum(name not in said and name in gold for said, gold in sets)
        if both + wrong + missed:
            precision, recall = both / max(both + wrong, 1), both / max(both + missed, 1)
            found.append(2 * precision * recall / (precision + recall) if both else 0.0)
    return sum(found) / len(found)


def score(one, batches, outputs):
    """The scores of several batches, their outcomes added up as an evaluation does."""
    outputs = [jnp.asarray(output) for output in outputs]
    outcomes = [one.outcome(output, batch) for output, batch in zip(outputs, batches, strict=True)]
    decoded = [jax.device_get(one.decode(output, batch)) for output, batch in zip(outputs, batches, strict=True)]
    means = functools.reduce(operator.add, outcomes).means
    return {k: float(v) for k, v in means.items()} | one.judge(small.joined(decoded), small.joined(batches))


@pytest.mark.parametrize(("choose", "of_tokens"), WAYS)
def test_losses_are_those_of_the_formulas(choose, of_tokens):
    batch = rows(choose, of_tokens)
    prediction = predictions(choose, batch)
    pairs = counted(batch, prediction)
    outcome = objective(choose, of_tokens, coefficient=0.5).outcome(prediction, batch)
    (loss,) = outcome.losses.values()
    np.testing.assert_allclose(loss.sum.total, sum(loss_by_hand(choose, *pair) for pair in pairs), rtol=1e-5)
    assert (loss.sum.weight, loss.coefficient) == (len(pairs), 0.5)
    assert 0 < len(pairs) < batch["label_weights"].size


@pytest.mark.parametrize(("choose", "of_tokens"), [way for way in WAYS if way[0] != NUMBER])
def test_accuracy_and_macro_f1_are_those_of_plain_loops_over_several_batches(choose, of_tokens):
    batches = [rows(choose, of_tokens, seed) for seed in range(4)]
    outputs = [predictions(choose, batch, seed) for seed, batch in enumerate(batches)]
    sets = sets_by_hand(choose, [pair for pair in zip(batches, outputs, strict=True) for pair in counted(*pair)])
    found = score(objective(choose, of_tokens), batches, outputs)
    assert found["label_accuracy"] == pytest.approx(np.mean([said == gold for said, gold in sets]), rel=1e-6)
    assert found["label_macro_f1"] == pytest.approx(macro_f1_by_hand(sets), rel=1e-6)
    assert 0.2 < found["label_macro_f1"] < 0.95  # some are right, some are not


def one_row(choose, labels, prediction):
    """A batch of nothing but labels, all of which count, and what is said of them."""
    labels = np.array([labels], np.int32 if choose == ONE else np.float32)
    batch = {"labels": labels, "label_weights": np.ones(labels.shape[:2], np.float32)}
    return batch, np.array([prediction], np.float32)


@pytest.mark.parametrize(
    ("gold", "said", "expected"),
    [
        ([0, 0, 1], [0, 0, 1], 1.0),  # two names that never occur count nothing
        ([0, 0, 0], [0, 0, 2], 0.8 / 2),  # said once, never right: 0 for it
        ([0, 0, 2], [0, 0, 0], 0.8 / 2),  # right once, never said: the same
        ([1, 1], [3, 3], 0.0),
    ],
)
def test_macro_f1_of_names_that_never_occur(gold, said, expected):
    batch, logits = one_row(ONE, gold, np.eye(4)[said])
    assert score(objective(ONE), [batch], [logits])["label_macro_f1"] == pytest.approx(expected)


def test_what_was_never_given_nor_right_has_no_macro_f1():
    batch, logits = one_row(SEVERAL, np.zeros((3, 4)), np.full((3, 4), -1))
    found = score(objective(SEVERAL), [batch], [logits])
    assert found["label_accuracy"] == 1
    assert "label_macro_f1" not in found
    assert objective(SEVERAL).baselines(batch) == {"label_majority": 1.0}


def test_ties_are_decided_alike_for_accuracy_and_macro_f1():
    """The first of equal logits is the prediction, as in `argmax`."""
    batch, logits = one_row(ONE, [0, 1, 2, 2], np.zeros((4, 4)))
    found = score(objective(ONE), [batch], [logits])
    assert found["label_accuracy"] == 0.25
    assert found["label_macro_f1"] == pytest.approx(0.4 / 3)


def pearson_by_hand(pairs):
    said, gold = [logits[0] for logits, _ in pairs], [float(label) for _, label in pairs]
    mean_said, mean_gold = sum(said) / len(said), sum(gold) / len(gold)
    together = sum((x - mean_said) * (y - mean_gold) for x, y in zip(said, gold, strict=True))
    squares = sum((x - mean_said) ** 2 for x in said) * sum((y - mean_gold) ** 2 for y in gold)
    return together / squares**0.5


@pytest.mark.parametrize("of_tokens", [False, True])
def test_pearson_is_that_of_a_plain_loop_over_several_batches(of_tokens):
    batches = [rows(NUMBER, of_tokens, seed) for seed in range(4)]
    outputs = [predictions(NUMBER, batch, seed) for seed, batch in enumerate(batches)]
    pairs = [pair for both in zip(batches, outputs, strict=True) for pair in counted(*both)]
    found = score(objective(NUMBER, of_tokens), batches, outputs)
    assert found["label_pearson"] == pytest.approx(pearson_by_hand(pairs), abs=1e-4)
    assert 0.2 < found["label_pearson"] < 0.95
    assert "label_accuracy" not in found


@pytest.mark.parametrize(
    ("gold", "said", "expected"),
    [([1, 2, 3, 4], [2, 4, 6, 8], 1.0), ([1, 2, 3, 4], [-1, -2, -3, -4], -1.0), ([1, 2, 1, 2], [1, 1, 2, 2], 0.0)],
)
def test_pearson_at_its_ends(gold, said, expected):
    batch, prediction = one_row(NUMBER, gold, np.array(said)[:, None])
    assert score(objective(NUMBER), [batch], [prediction])["label_pearson"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mean", [0, 10, 1e4, -1e5])
@pytest.mark.parametrize("spread", [1, 1e-3, 1e-4])
def test_pearson_of_numbers_far_from_zero(mean, spread):
    """Their spread is down to 1e-4 of their mean; batches of different means join as one."""
    rng = np.random.default_rng(0)
    gold = mean + spread * (abs(mean) or 1) * np.sort(rng.normal(size=120)).reshape(3, 40).astype(np.float32)
    gold = gold.astype(np.float32)
    said = (gold.astype(np.float64) + gold.std() * rng.normal(size=gold.shape)).astype(np.float32)
    both = [one_row(NUMBER, *pair) for pair in zip(gold, said[..., None], strict=True)]
    found = score(objective(NUMBER), *zip(*both, strict=True))
    expected = np.corrcoef(gold.ravel().astype(np.float64), said.ravel().astype(np.float64))[0, 1]
    assert found["label_pearson"] == pytest.approx(expected, abs=1e-4)
    assert 0.5 < expected < 0.9


@pytest.mark.parametrize("constant", [0.0, 0.1, 3.3, 1234.5])
def test_a_correlation_with_a_constant_is_not_told(constant):
    rng = np.random.default_rng(0)
    for gold, said in ((rng.normal(size=50), np.full(50, constant)), (np.full(50, constant), rng.normal(size=50))):
        batch, prediction = one_row(NUMBER, gold, said[:, None])
        found = score(objective(NUMBER), [batch], [prediction])
        assert "label_pearson" not in found
        assert "label_loss" in found


@pytest.mark.parametrize(("choose", "of_tokens"), WAYS)
def test_baselines_are_those_of_plain_loops(choose, of_tokens):
    held_out = [rows(choose, of_tokens, seed) for seed in range(2)]
    found = objective(choose, of_tokens).baselines(small.joined(held_out))
    gold = [batch["labels"][tuple(place)] for batch in held_out for place in np.argwhere(batch["label_weights"] > 0)]
    if choose == NUMBER:
        mean = sum(map(float, gold)) / len(gold)
        assert found == {"label_variance": pytest.approx(sum((float(x) - mean) ** 2 for x in gold) / len(gold))}
        return
    sets = [frozenset([int(x)]) if choose == ONE else frozenset(np.flatnonzero(x).tolist()) for x in gold]
    most = max(map(sets.count, sets))
    assert found["label_majority"] == pytest.approx(most / len(sets))
    # Where several are the most frequent, any of them will do.
    choices = [macro_f1_by_hand([(said, one) for one in sets]) for said in set(sets) if sets.count(said) == most]
    assert any(found["label_majority_macro_f1"] == pytest.approx(choice) for choice in choices)


def test_the_f1_of_one_label_is_a_score_beside_the_majority():
    """By its name: two true positives of "yes", one false one, one missed, and one true negative."""
    one, batch = Labels(names=("yes", "no"), f1_label="yes"), rows(ONE)
    gold, said = np.array([[0, 0, 0, 1, 1]]), np.array([[0, 0, 1, 0, 1]])
    held_out = batch | {"labels": gold, "label_weights": np.ones(gold.shape, np.float32)}
    assert one.judge({"said": said}, held_out)["label_f1"] == pytest.approx(2 / 3)
    assert one.baselines(held_out)["label_majority_f1"] == pytest.approx(3 / 4)  # always yes: 6 of 8
    other = Labels(names=("yes", "no"), f1_label="no")
    assert other.judge({"said": said}, held_out)["label_f1"] == pytest.approx(1 / 2)
    assert other.baselines(held_out)["label_majority_f1"] == 0
    assert [score.name for score in one.scores][-1] == "label_f1"
    assert "label_f1" not in {score.name for score in objective(ONE).scores}


def test_scores_have_their_numbers():
    batches, (objectives, _) = zip(*(all_rows(seed) for seed in range(2)), strict=True)
    small.assert_scores_are_told(batches, *objectives)


def test_who_says_the_mean_has_the_variance_for_a_loss():
    held_out = [rows(NUMBER, seed=seed) for seed in range(2)]
    gold = np.concatenate([batch["labels"][batch["label_weights"] > 0] for batch in held_out])
    said = [np.full((*batch["labels"].shape, 1), gold.mean()) for batch in held_out]
    loss = score(objective(NUMBER), held_out, said)["label_loss"]
    assert loss == pytest.approx(objective(NUMBER).baselines(small.joined(held_out))["label_variance"], rel=1e-5)


def test_packing_changes_nothing():
    batch, objectives = all_rows()
    small.assert_packing_changes_nothing(batch, *objectives)


def test_bfloat16_is_near_float32():
    batch, objectives = all_rows()
    small.assert_bfloat16_is_near_float32(batch, *objectives)


def test_the_name_is_that_of_columns_and_scores():
    one, batch = objective(ONE, name="tag"), rows(ONE)
    batch |= {"tags": batch.pop("labels"), "tag_weights": batch.pop("label_weights")}
    assert one.columns.keys() == {"tags", "tag_weights"}
    outcome = one.outcome(np.zeros((*batch["tags"].shape, len(NAMES)), np.float32), batch)
    found = (*outcome.losses, *outcome.metrics, *one.baselines(batch))
    assert {name.partition("_")[0] for name in found} == {"tag"}
