import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.dropout import AttentionDropout, Dropout, token_keys

B, S, F, HEADS = 8, 64, 130, 6  # neither F nor HEADS is a multiple of four


def keys(seed=0, step=0):
    batch = {
        "example_ids": jnp.ones((B, S), jnp.int32),
        "example_keys": jnp.arange(B, dtype=jnp.uint32)[:, None] * jnp.uint32(12345),
        "position_ids": jnp.tile(jnp.arange(S), (B, 1)),
    }
    return token_keys(jnp.uint32(seed), jnp.int32(step), batch)


class Two(nn.Module):
    """Two sites, to tell them apart."""

    rate: float = 0.1

    @nn.compact
    def __call__(self, x, k):
        return Dropout(self.rate, name="one")(x, k), Dropout(self.rate, name="two")(x, k)


def masks(seed=0, step=0, rate=0.1):
    return [np.asarray(y) == 0 for y in Two(rate).apply({}, jnp.ones((B, S, F)), keys(seed, step))]


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_rate_and_mean_are_right(rate):
    dropped, _ = masks(rate=rate)
    quantised = round(rate * 256) / 256
    assert abs(dropped.mean() - quantised) < 4 * np.sqrt(rate / dropped.size)
    y = Dropout(rate, name="x").apply({}, jnp.ones((B, S, F)), keys())
    assert abs(float(y.mean()) - 1) < 0.01
    assert len(np.unique(y)) == 2


def test_masks_differ_by_seed_step_and_site_and_repeat():
    one, two = masks()
    np.testing.assert_array_equal(one, masks()[0])
    for other in (two, masks(step=1)[0], masks(seed=1)[0]):
        agreement = (one & other).mean()  # independent: the product of the rates
        assert abs(agreement - (26 / 256) ** 2) < 0.002


def test_elements_are_independent_of_their_neighbours():
    dropped = masks()[0].astype(float) - 26 / 256
    variance = (dropped**2).mean()
    words = -(-F // 4)
    for shift in (1, 2, words, 2 * words):  # `words` apart: elements that share a hash
        assert abs((dropped[..., shift:] * dropped[..., :-shift]).mean()) < 0.02 * variance
    for shift in (1, 7):
        assert abs((dropped[:, shift:] * dropped[:, :-shift]).mean()) < 0.02 * variance
    assert abs((dropped[1:] * dropped[:-1]).mean()) < 0.02 * variance
    # No row, column or feature is dropped more than others.
    for axis in (0, 1, 2):
        others = tuple({0, 1, 2} - {axis})
        share = dropped.mean(axis=others)
        assert abs(share).max() < 5 * np.sqrt(variance / (dropped.size / dropped.shape[axis]))


def test_attention_masks_are_random_over_heads_queries_and_keys():
    p = jnp.ones((B, HEADS, S, S))
    dropped = np.asarray(AttentionDropout(0.1, name="x").apply({}, p, keys(), keys())) == 0
    assert abs(dropped.mean() - 26 / 256) < 0.002
    centred = dropped - 26 / 256
    variance = (centred**2).mean()
    pairs = [
        (centred[:, 1:], centred[:, :-1]),
        (centred[:, :, 1:], centred[:, :, :-1]),
        (centred[..., 1:], centred[..., :-1]),
        (centred, centred.transpose(0, 1, 3, 2)),
    ]
    for left, right in pairs[:3]:
        assert abs((left * right).mean()) < 0.02 * variance
    off = ~np.eye(S, dtype=bool)
    assert abs((pairs[3][0] * pairs[3][1])[..., off].mean()) < 0.02 * variance


def test_no_keys_means_no_dropout():
    x = jnp.ones((B, S, F))
    assert Dropout(0.5).apply({}, x, None) is x
    assert Dropout(0.0).apply({}, x, keys()) is x


def test_the_gradient_uses_the_same_mask():
    def total(x):
        return Dropout(0.3, name="x").apply({}, x, keys()).sum()

    gradient = jax.grad(total)(jnp.ones((B, S, F)))
    np.testing.assert_array_equal(gradient, Dropout(0.3, name="x").apply({}, jnp.ones((B, S, F)), keys()))
