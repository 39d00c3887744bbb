import jax.numpy as jnp
import numpy as np

from bert_jax.losses import Mean, accuracy, cross_entropy

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(RNG.normal(size=(3, 5, 7)) * 10, jnp.float32)
LABELS = jnp.asarray(RNG.integers(0, 7, (3, 5)))
WEIGHTS = jnp.asarray(RNG.integers(0, 2, (3, 5)), jnp.float32)


def test_cross_entropy_is_minus_log_softmax():
    logits = np.asarray(LOGITS, np.float64)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(p, np.asarray(LABELS)[..., None], -1)[..., 0]) * WEIGHTS
    mean = cross_entropy(LOGITS, LABELS, WEIGHTS)
    np.testing.assert_allclose(mean.total, expected.sum(), rtol=1e-6)
    assert mean.weight == WEIGHTS.sum()


def test_accuracy_is_that_of_argmax():
    expected = ((LOGITS.argmax(-1) == LABELS) * WEIGHTS).sum()
    assert accuracy(LOGITS, LABELS, WEIGHTS).total == expected


def test_parts_add_up_to_the_whole():
    whole = cross_entropy(LOGITS, LABELS, WEIGHTS)
    parts = cross_entropy(LOGITS[:1], LABELS[:1], WEIGHTS[:1]) + cross_entropy(LOGITS[1:], LABELS[1:], WEIGHTS[1:])
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-6)


def test_nothing_weighted_is_zero_and_not_nan():
    assert cross_entropy(LOGITS, LABELS, WEIGHTS * 0).value == 0
    assert Mean(jnp.float32(0), jnp.float32(0)).value == 0
