"""Rotary positions, ALiBi and windows, against plain loops in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model import alibi
from bert_jax.model.attention import attend, block_size
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import AttentionDropout
from bert_jax.model.layout import Layout
from bert_jax.model.rotary import rotate

B, HEADS, S, SIZE = 2, 3, 150, 8
LENGTHS = ((40, 3, 61, 33), (1, 149))  # the first row ends in padding
ROTARY = ModelConfig(hidden_size=32, num_heads=4, positions="rotary", rotary_base=100.0)


def layout():
    ids, positions = np.zeros((2, B, S), np.int32)
    for row, lengths in enumerate(LENGTHS):
        begin = 0
        for example, length in enumerate(lengths):
            ids[row, begin : begin + length] = example + 1
            positions[row, begin : begin + length] = np.arange(length)
            begin += length
    keys = np.random.default_rng(5).integers(0, 1 << 32, (B, S), np.uint32)
    return Layout(jnp.asarray(ids), jnp.asarray(positions), jnp.asarray(keys))


def inputs():
    return 2 * jax.random.normal(jax.random.key(0), (3, B, HEADS, S, SIZE))


def by_hand(three, window, slopes):
    query, key, value = np.asarray(three, np.float64)
    ids, positions = np.asarray(layout().example_ids), np.asarray(layout().position_ids)
    output = np.zeros(value.shape)
    for row, head, i in np.ndindex(B, HEADS, S):
        others = [
            j for j in range(S) if ids[row, j] == ids[row, i] and abs(positions[row, j] - positions[row, i]) <= window
        ]
        scores = [query[row, head, i] @ key[row, head, j] - slopes[head] * abs(j - i) for j in others]
        shares = np.exp(np.array(scores) - max(scores))
        output[row, head, i] = shares @ value[row, head, others] / shares.sum()
    return output


@pytest.mark.parametrize("window", [1, 20, 33])
def test_blocks_are_the_plain_form_with_a_mask(window):
    """Outputs, gradients and dropout; a window that ends within a block, and one that is longer than most examples."""
    assert 2 * block_size(window) < S
    slopes, real = alibi.slopes(HEADS), (layout().example_ids > 0)[:, None, :, None]
    dropout = AttentionDropout(0.3, name="dropout")

    def output(three, observe, dropout):
        found = attend(*three, layout(), window=window, slopes=jnp.asarray(slopes), dropout=dropout, observe=observe)
        return jnp.where(real, found, 0)

    def both(observe, dropout=lambda p, *_: p):
        made, pull = jax.vjp(lambda three: output(three, observe, dropout), inputs())
        return made, pull(jnp.cos(made))[0]

    blocks, plain = both(None), both(lambda probabilities: None)  # whoever observes gets whole maps
    np.testing.assert_allclose(blocks[0], np.where(real, by_hand(inputs(), window, slopes), 0), atol=1e-5)
    for left, right in zip(blocks, plain, strict=True):
        np.testing.assert_allclose(left, right, atol=2e-5 * np.abs(right).max())

    class Dropped:
        def __call__(self, *args):
            return dropout.apply({}, *args)

    dropped, also = both(None, Dropped()), both(lambda probabilities: None, Dropped())
    assert float(jnp.abs(dropped[0] - blocks[0]).mean()) > 0.05
    for left, right in zip(dropped, also, strict=True):
        np.testing.assert_allclose(left, right, atol=2e-5 * np.abs(right).max())


def test_the_work_of_a_window_grows_with_the_row_not_with_its_square():
    def flops(length, window):
        three = [jax.ShapeDtypeStruct((1, 2, length, 16), jnp.float32)] * 3
        row = jax.ShapeDtypeStruct((1, length), jnp.int32)
        lowered = jax.jit(lambda *x: attend(*x[:3], Layout(x[3], x[4]), window=window)).lower(*three, row, row)
        return lowered.compile().cost_analysis()["flops"]

    assert flops(4096, 64) < 1.1 * 4 * flops(1024, 64)
    assert flops(4096, 64) < 0.1 * flops(4096, None)


def test_rotations_are_complex_products_and_only_distances_count():
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 8)).astype(np.float32)
    positions = jnp.array([[0, 1, 2, 7, 500, 4000]])
    found = np.asarray(rotate(ROTARY, x, positions, 0), np.float64)
    frequency = 100.0 ** (-np.arange(0, 8, 2) / 8)
    turned = (x[..., :4] + 1j * x[..., 4:]) * np.exp(1j * np.asarray(positions)[0, :, None] * frequency)
    np.testing.assert_allclose(found, np.concatenate([turned.real, turned.imag], -1), atol=2e-3)  # float32 angles
    np.testing.assert_allclose(found[:, :, :4], np.concatenate([turned.real, turned.imag], -1)[:, :, :4], atol=1e-5)
    shifted = [np.asarray(rotate(ROTARY, x, positions + shift, 0)[0, 0]) for shift in (0, 11)]
    np.testing.assert_allclose(*(part[:3] @ part[:3].T for part in shifted), atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "same_as"),
    [
        ({"rotary_scale": 4.0}, lambda x, p: rotate(ROTARY, x, p // 4, 0)),
        ({"local_window": 4, "local_rotary_base": 7.0}, lambda x, p: rotate(ROTARY, x, p, 0)),  # layer 0 is global
        (
            {"local_window": 4, "local_rotary_base": 7.0, "global_every": 0},
            lambda x, p: rotate(dataclasses.replace(ROTARY, rotary_base=7.0), x, p, 0),
        ),
        ({"rotary_share": 0.5}, lambda x, p: jnp.concatenate([rotate(HALF, x[..., :4], p, 0), x[..., 4:]], -1)),
    ],
    ids=["interpolation", "global layer", "local layer", "half"],
)
def test_bases_scales_and_shares(changes, same_as):
    x = np.random.default_rng(0).normal(size=(1, 4, 3, 8)).astype(np.float32)
    positions = jnp.array([[0, 4, 20]])
    found = rotate(dataclasses.replace(ROTARY, **changes), x, positions, 0)
    np.testing.assert_allclose(found, same_as(x, positions), atol=1e-6)
    assert found.dtype == x.dtype


HALF = dataclasses.replace(ROTARY, hidden_size=16)


def test_slopes_are_the_released_ones():
    np.testing.assert_allclose(alibi.slopes(8), [2.0**-i for i in range(1, 9)])
    np.testing.assert_allclose(alibi.slopes(12)[:8], [2.0**-i for i in range(1, 9)], rtol=1e-6)
    np.testing.assert_allclose(alibi.slopes(12)[8:], [2 ** -(0.5 + i) for i in range(4)], rtol=1e-6)
