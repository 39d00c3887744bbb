"""Steps whose singular values are near 1."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.optim.muon import orthogonal, scale_by_muon
from bert_jax.optim.optimizer import OptimizerConfig, make_optimizer


def with_values(values: np.ndarray, rows: int, columns: int) -> jax.Array:
    """A stack of one matrix with these singular values."""
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.normal(size=(rows, rows)))
    right, _ = np.linalg.qr(rng.normal(size=(columns, columns)))
    matrix = left[:, : len(values)] * values @ right[: len(values)]
    return jnp.asarray(matrix[None], jnp.float32)


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_singular_values_come_near_1_and_vectors_stay(dtype, shape):
    stack = with_values(np.geomspace(0.02, 1, 12), *shape)
    found = orthogonal(stack, dtype)
    assert found.dtype == jnp.float32
    left, _, right = np.linalg.svd(np.asarray(stack[0]), full_matrices=False)
    values = left.T @ np.asarray(found[0]) @ right.T
    tolerance = 1e-5 if dtype == "float32" else 0.06
    assert np.abs(values - np.diag(np.diag(values))).max() < tolerance
    assert 0.68 - tolerance < np.diag(values).min() < np.diag(values).max() < 1.14 + tolerance


def test_the_dtype_is_that_of_the_products():
    """Or bfloat16 would be float32 by another name."""

    def text(dtype):
        return str(jax.make_jaxpr(lambda x: orthogonal(x, dtype))(jnp.ones((1, 4, 4))))

    assert "preferred_element_type=bfloat16" in text("bfloat16")
    assert "bf16" not in text("float32")
    assert "HIGHEST" in text("float32")


def test_a_low_rank_stays_low():
    """Nothing is made up where the gradients say nothing."""
    found = np.linalg.svd(np.asarray(orthogonal(with_values(np.ones(3), 12, 40), "float32")[0]), compute_uv=False)
    assert found[:3].min() > 0.68
    assert found[3:].max() < 1e-4
    np.testing.assert_array_equal(orthogonal(jnp.zeros((2, 4, 6)), "float32"), jnp.zeros((2, 4, 6)))


def kernels(seed: int, shared: int) -> dict:
    """Two layers with queries, `shared` of which share a key, and with one matrix back."""
    rng = np.random.default_rng(seed)

    def layer() -> dict:
        fused, output = rng.normal(size=(8, 2, shared + 2, 3)), rng.normal(size=(2 * shared, 3, 8))
        return {"query_key_value": {"kernel": jnp.float32(fused)}, "output": {"kernel": jnp.float32(output)}}

    return {f"layer_{i}": layer() for i in range(2)}


@pytest.mark.parametrize("shared", [1, 3])
def test_queries_keys_and_values_are_matrices_apart(shared):
    tree, transform = kernels(0, shared), scale_by_muon(0.0, "float32")
    found, _ = transform.update(tree, transform.init(tree))

    def step(matrix):
        return 0.2 * max(matrix.shape) ** 0.5 * orthogonal(matrix[None], "float32")[0]

    for name, layer in tree.items():
        for entries in (slice(0, shared), slice(shared, shared + 1), slice(shared + 1, None)):
            expected = step(layer["query_key_value"]["kernel"][:, :, entries].reshape(8, -1))
            part = found[name]["query_key_value"]["kernel"][:, :, entries].reshape(8, -1)
            np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-6)
        expected = step(layer["output"]["kernel"].reshape(-1, 8)).reshape(-1, 3, 8)
        np.testing.assert_allclose(found[name]["output"]["kernel"], expected, rtol=1e-5, atol=1e-6)


def test_one_rate_serves_both():
    """The root mean square of a step is about that of AdamW's, 0.2, for any shape; Adam's is 1 at first."""
    rng = np.random.default_rng(0)
    shapes = {"intermediate": (32, 128), "output": (32, 32)}
    layer = {name: {"kernel": jnp.float32(rng.normal(size=shape))} for name, shape in shapes.items()}
    params = {"bert": {"encoder": {"layer_0": layer}, "pooler": {"dense": {"kernel": jnp.ones((32, 32))}}}}
    config = OptimizerConfig(name="muon", weight_decay=0.0, clip_norm=0.0)
    optimizer = make_optimizer(config, optax.constant_schedule(1.0))
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    for update in jax.tree.leaves(updates["bert"]["encoder"]):
        assert 0.15 < np.sqrt(np.square(update).mean()) < 0.22
    np.testing.assert_allclose(updates["bert"]["pooler"]["dense"]["kernel"], -1, rtol=1e-5)
