"""Matrix products, in the one form for which XLA's CPU compiler has a fast bfloat16 kernel.

That kernel (YNNPACK) takes bfloat16 factors and gives a float32 result, all three in row-major order, and contracts the
last axis of the first factor with the second-to-last axis of the second. Any other product is computed in float32 from
copies of its factors, which is half as fast; that includes every product of a backward pass derived by JAX. GPUs and
TPUs use plain products.
"""

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Multiplies [..., M, K] and [..., K, N] of the same dtype and leading axes to float32 [..., M, N].

    The caller rounds, after it has added a bias: on CPU, each pass over a result counts.
    """
    # Layouts are requested on one device only: on a mesh, they would gather whatever is split over it.
    if a.dtype == jnp.bfloat16 and jax.sharding.get_abstract_mesh().size <= 1:
        return _bfloat16_product(a, b)
    return (a @ b).astype(jnp.float32)


@jax.custom_vjp
def _bfloat16_product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jax.lax.platform_dependent(a, b, cpu=_row_by_row, default=_plainly)


def _plainly(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b).astype(jnp.float32)


def _row_by_row(a: jax.Array, b: jax.Array) -> jax.Array:
    def stored(x: jax.Array) -> jax.Array:
        # Otherwise XLA fuses a transposition into the product, or stores the result in column-major order.
        return with_layout_constraint(x, Layout(tuple(range(x.ndim))))

    return stored(jnp.matmul(stored(a), stored(b), preferred_element_type=jnp.float32))


def _forward(a: jax.Array, b: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _bfloat16_product(a, b), (a, b)


def _backward(factors: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    a, b = factors
    gradient = gradient.astype(a.dtype)
    return _bfloat16_product(gradient, b.mT).astype(a.dtype), _bfloat16_product(a.mT, gradient).astype(b.dtype)


_bfloat16_product.defvjp(_forward, _backward)
