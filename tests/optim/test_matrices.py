"""Matrices, however they are stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.optim.matrices import body_width, join, over_matrices, split, stacked_axes

# Two layers of kernels for 6 queries in 3 groups that share a key and a value each, and of their biases.
GROUPED = {"kernel": (2, 8, 3, 4, 5), "bias": (2, 3, 4, 5)}


def keys(*names: str) -> tuple:
    return tuple(jax.tree_util.DictKey(name) for name in names)


def drawn(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("names", "shape", "axes"),
    [
        (("word",), (20, 8), ()),
        (("layer_0", "attention", "query_key_value", "kernel"), (8, 2, 3, 4), (2,)),
        (("layers", "attention", "query_key_value", "kernel"), (5, 8, 2, 3, 4), (0, 3)),
        (("layers", "output", "kernel"), (5, 8, 8), (0,)),
        (("layer_0", "query_key_value", "bias"), (2, 3, 4), (1,)),
        (("layers", "query_key_value", "bias"), (5, 2, 3, 4), (0, 2)),
        (("query_key_value", "kernel", "a"), (8, 2), ()),
        (("output", "kernel"), (8, 8), ()),
        (("kernel",), (8, 8), ()),
    ],
)
def test_stacked_axes_are_told_from_the_path(names, shape, axes):
    assert stacked_axes(keys(*names), len(shape)) == axes


@pytest.mark.parametrize("reduce", [jnp.sum, jnp.mean])
@pytest.mark.parametrize("kind", GROUPED)
def test_queries_that_share_a_key_are_one_matrix_with_all_others(kind, reduce):
    x = drawn(*GROUPED[kind])
    found = over_matrices(keys("layers", "query_key_value", kind), x, reduce)
    expected = np.empty(x.shape)
    for layer in range(2):
        for entries in (slice(0, 2), slice(2, 3), slice(3, 4)):
            expected[layer, ..., entries, :] = reduce(x[layer, ..., entries, :])
    np.testing.assert_allclose(jnp.broadcast_to(found, x.shape), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "shape", "matrices"),
    [
        (("layer_0", "query_key_value", "kernel"), (8, 2, 3, 4), [(1, 8, 8)] * 3),
        (("layers", "query_key_value", "kernel"), GROUPED["kernel"], [(2, 8, 30), (2, 8, 15), (2, 8, 15)]),
        (("layer_0", "output", "kernel"), (2, 4, 8), [(1, 8, 8)]),
        (("layers", "output", "kernel"), (5, 16, 8), [(5, 8, 16)]),
    ],
)
def test_kernels_come_apart_into_matrices_and_together_again(names, shape, matrices):
    kernel = drawn(*shape)
    parts = split(keys(*names), kernel)
    assert [part.shape for part in parts] == matrices
    np.testing.assert_array_equal(join(keys(*names), parts, shape), kernel)
    if names[1] == "output":
        np.testing.assert_array_equal(parts[0].mT.reshape(shape), kernel)
    else:  # queries, keys, values
        for part, entries in zip(parts, (slice(0, -2), slice(-2, -1), slice(-1, None)), strict=True):
            np.testing.assert_array_equal(part, kernel[..., entries, :].reshape(part.shape))


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (("layer_0", "query_key_value", "kernel"), (8, 2, 3, 4)),
        (("layers", "query_key_value", "kernel"), GROUPED["kernel"]),
        (("layer_0", "attention", "output", "kernel"), (2, 5, 8)),
        (("layer_0", "feed_forward", "intermediate", "kernel"), (8, 32)),
        (("layers", "feed_forward", "output", "kernel"), (2, 32, 8)),
    ],
)
def test_a_kernel_tells_the_width_of_the_body(names, shape):
    assert body_width(keys(*names), shape) == 8
