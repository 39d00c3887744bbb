"""Matrix products, in the one form for which XLA's CPU compiler has a fast bfloat16 kernel.

It has one (YNNPACK) for bfloat16 factors with a float32 result, all three stored row by row, where the last axis of the
first factor meets the last but one of the second. Any other product, and so each one of a backward pass that JAX
derives, is computed in float32 from copies of its factors: half as fast. GPUs and TPUs get plain products.
"""

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """a · b: [..., M, K] and [..., K, N] of one dtype, with the same leading axes, to [..., M, N]."""
    # Layouts are asked for on one device only: a mesh would gather whatever is cut over it.
    if a.dtype == jnp.bfloat16 and jax.sharding.get_abstract_mesh().size <= 1:
        return _bfloat16_product(a, b)
    return a @ b


@jax.custom_vjp
def _bfloat16_product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jax.lax.platform_dependent(a, b, cpu=_row_by_row, default=jnp.matmul)


def _row_by_row(a: jax.Array, b: jax.Array) -> jax.Array:
    def stored(x: jax.Array) -> jax.Array:
        # Otherwise a transposition melts into the product, or the result is stored by columns.
        return with_layout_constraint(x, Layout(tuple(range(x.ndim))))

    return stored(jnp.matmul(stored(a), stored(b), preferred_element_type=jnp.float32)).astype(a.dtype)


def _forward(a: jax.Array, b: jax.Array):
    return _bfloat16_product(a, b), (a, b)


def _backward(factors: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    a, b = factors
    return _bfloat16_product(gradient, b.mT), _bfloat16_product(a.mT, gradient)


_bfloat16_product.defvjp(_forward, _backward)
