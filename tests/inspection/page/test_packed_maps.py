"""Attention maps as text for a page."""

import numpy as np
import pytest

from bert_jax.inspection.page.packed_maps import MOST_BYTES, pack_maps, unpack_maps


def maps(layers, heads, size, sharpness=4.0):
    logits = sharpness * np.random.default_rng(0).normal(size=(layers, heads, size, size))
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


def test_weights_come_back_within_a_part_in_two_hundred():
    weights = maps(2, 3, 20)
    packed = pack_maps(weights)
    assert (packed.shape, packed.kept, packed.covered, packed.keys) == ((2, 3, 20), 20, 1.0, "")
    found = unpack_maps(packed)
    np.testing.assert_allclose(np.sqrt(found), np.sqrt(weights), atol=0.5 / 255 + 1e-6)
    assert np.abs(found - weights).max() < 0.005
    # The weights of a token that attends to all of a long text alike are not lost.
    even = unpack_maps(pack_maps(np.full((1, 1, 512, 512), 1 / 512, np.float32)))
    np.testing.assert_allclose(even, 1 / 512, rtol=0.05)


def test_of_a_long_text_the_largest_weights_are_kept_and_it_says_how_much_that_is():
    weights = maps(2, 3, 20)
    packed = pack_maps(weights, most_bytes=2 * 3 * 20 * 3 * 4)
    assert packed.kept == 4
    found = unpack_maps(packed)
    assert ((found > 0).sum(-1) <= 4).all()
    for place in np.ndindex(2, 3, 20):
        best = np.argsort(weights[place])[-4:]
        np.testing.assert_allclose(found[place][best], weights[place][best], atol=0.005)
    assert packed.covered == pytest.approx(float(np.sort(weights, axis=-1)[..., -4:].sum(-1).mean()), rel=1e-5)


def test_the_longest_text_of_a_large_model_takes_a_few_megabytes():
    # The size depends on the shape alone: a map of each layer stands for all of its heads.
    weights = np.broadcast_to(maps(1, 1, 512), (24, 18, 512, 512))
    packed = pack_maps(weights)
    assert packed.kept == 4
    assert len(packed.weights) + len(packed.keys) < 1.4 * MOST_BYTES < 5e6
