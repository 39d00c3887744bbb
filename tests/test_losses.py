import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax import losses
from bert_jax.losses import WeightedSum

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(RNG.normal(size=(3, 5, 7)) * 10, jnp.float32)
LABELS = jnp.asarray(RNG.integers(0, 7, (3, 5)))
WEIGHTS = jnp.asarray(RNG.integers(0, 2, (3, 5)), jnp.float32)


def test_cross_entropy_is_minus_log_softmax():
    logits = np.asarray(LOGITS, np.float64)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(p, np.asarray(LABELS)[..., None], -1)[..., 0]) * WEIGHTS
    mean = losses.weighted_sum(losses.cross_entropies(LOGITS, LABELS), WEIGHTS)
    np.testing.assert_allclose(mean.total, expected.sum(), rtol=1e-6)
    assert mean.weight == WEIGHTS.sum()


def test_accuracy_is_that_of_argmax():
    expected = ((LOGITS.argmax(-1) == LABELS) * WEIGHTS).sum()
    assert losses.weighted_sum(losses.hits(LOGITS, LABELS), WEIGHTS).total == expected


def test_the_first_of_equal_logits_is_the_guess():
    logits = jnp.array([[1.0, 3.0, 3.0, 2.0]] * 4 + [[0.0] * 4, [jnp.nan] * 4])
    assert losses.hits(logits, jnp.array([0, 1, 2, 3, 0, 0])).tolist() == [False, True, False, False, True, False]


def test_parts_add_up_to_the_whole():
    values = losses.cross_entropies(LOGITS, LABELS)
    whole = losses.weighted_sum(values, WEIGHTS)
    parts = losses.weighted_sum(values[:1], WEIGHTS[:1]) + losses.weighted_sum(values[1:], WEIGHTS[1:])
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-6)


def test_nothing_weighted_is_zero_and_not_nan():
    assert losses.weighted_sum(losses.cross_entropies(LOGITS, LABELS), WEIGHTS * 0).mean == 0
    assert WeightedSum(jnp.float32(0), jnp.float32(0)).mean == 0


def test_groups_add_up_to_the_whole_and_are_apart():
    values = losses.cross_entropies(LOGITS, LABELS)
    groups = jnp.asarray(RNG.integers(0, 3, (3, 5)))
    found = losses.weighted_sums_by_group(values, WEIGHTS, groups, ("a", "b", "c"))
    np.testing.assert_allclose(
        sum(one.total for one in found.values()), losses.weighted_sum(values, WEIGHTS).total, rtol=1e-6
    )
    mine = np.asarray((groups == 1) & (WEIGHTS > 0))
    np.testing.assert_allclose(found["b"].mean, np.asarray(values)[mine].mean(), rtol=1e-6)


def test_microbatches_of_other_sizes_weigh_by_their_tokens():
    parts = WeightedSum(jnp.float32(10 * 1.0), jnp.float32(10)) + WeightedSum(jnp.float32(100 * 2.0), jnp.float32(100))
    assert float(parts.mean) == pytest.approx(1.9090909)
