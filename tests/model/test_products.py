import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.products import product

SHAPES = (((32, 16), (16, 24)), ((2, 3, 32, 16), (2, 3, 16, 24)))


def gradients(multiply, a, b, weights):
    """Of a sum of the product's elements, with weights."""
    return jax.grad(lambda a, b: (multiply(a, b).astype(jnp.float32) * weights).sum(), (0, 1))(a, b)


def factors(shape, dtype):
    """Small whole numbers: every product of them is exact in bfloat16's factors and float32's sums."""
    return jnp.asarray(np.random.default_rng(len(shape)).integers(-3, 4, shape), dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_product_and_its_gradients_are_those_of_a_matrix_product(left, right, dtype):
    a, b = factors(left, dtype), factors(right, dtype)
    weights = factors((*left[:-1], right[-1]), "float32")
    assert product(a, b).dtype == jnp.float32
    np.testing.assert_array_equal(product(a, b), a.astype(jnp.float32) @ b.astype(jnp.float32))
    for ours, theirs in zip(gradients(product, a, b, weights), gradients(jnp.matmul, a, b, weights), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("left", "right"), SHAPES)
@pytest.mark.parametrize("turn", [lambda x: x, lambda x: x.mT], ids=["as it is", "turned"])
def test_bfloat16_stays_bfloat16_in_every_product_on_cpu(left, right, turn):
    a, b = factors(left, "bfloat16"), factors((*right[:-2], right[-1], right[-2]), "bfloat16")

    def loss(a, b):
        return jnp.square(turn(product(a, b.mT))).sum()

    text = jax.jit(jax.grad(loss, (0, 1))).lower(a, b).compile().as_text()
    products = re.findall(r"= (\w+)\[.* dot\(%?([\w.]+), %?([\w.]+)\)", text)
    assert len(products) == 3
    for result, *operands in products:
        assert result == "f32"
        for operand in operands:
            assert re.search(rf"%?{re.escape(operand)} = bf16\[", text)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_devices_get_three_plain_products(platform):
    a, b = factors((32, 16), "bfloat16"), factors((16, 24), "bfloat16")
    gradient = jax.jit(jax.grad(lambda a, b: jnp.square(product(a, b)).sum(), (0, 1)))
    text = gradient.trace(a, b).lower(lowering_platforms=(platform,)).as_text()
    assert text.count("dot_general") == 3
    assert "LayoutConstraint" not in text


def test_a_mesh_of_several_devices_gets_a_plain_product():
    a, b = factors((32, 16), "bfloat16"), factors((16, 24), "bfloat16")
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((2,), ("data",))):
        assert "LayoutConstraint" not in jax.jit(product).lower(a, b).as_text()
    assert "LayoutConstraint" in jax.jit(product).lower(a, b).as_text()
