"""Muon's direction for weight matrices: momentum with all singular values near 1 (Jordan et al. 2024)."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bert_jax.optim.matrices import join, split
from bert_jax.sharding import matrix_by_matrix

# One step maps a singular value s to A s + B s³ + C s⁵. Five of them bring any from 0.01 to 1 to between 0.68 and 1.14.
# From https://kellerjordan.github.io/posts/muon.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
DTYPES = ("float32", "bfloat16")
# The root mean square of an update, about that of AdamW's (Liu et al. 2025, arXiv 2502.16982, section 2.2).
ROOT_MEAN_SQUARE = 0.2


class MuonState(NamedTuple):
    """The state of `scale_by_muon`.

    Attributes:
      mu: the running mean of the gradients, arrays like the parameters.
    """

    mu: Any


def scale_by_muon(momentum: float, dtype: str) -> optax.GradientTransformation:
    """Replaces the gradient of each weight matrix by 0.2 √max(rows, columns) · O.

    For the Nesterov momentum U S Vᵀ, O is about U Vᵀ: its singular values lie between 0.68 and 1.14, but for those that
    were below 0.01 of the Frobenius norm. The factor gives the update the root mean square of AdamW's, so that one
    learning rate serves both.

    `optax.contrib.muon` has another direction in the first steps (its Nesterov momentum corrects for the start from 0),
    uses Nesterov momentum in its Adam too, tells apart the queries that share a key, and computes each matrix on all
    devices.

    Args:
      momentum: the decay rate of the running mean.
      dtype: of the products, `float32` or `bfloat16`. Bfloat16 is faster on accelerators, not on CPUs.
    """

    def init(params: optax.Params) -> MuonState:
        return MuonState(optax.tree.zeros_like(params))

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        del params
        mu = optax.tree.update_moment(updates, state.mu, momentum, 1)
        ahead = optax.tree.update_moment(updates, mu, momentum, 1)  # Nesterov
        return _orthogonal(ahead, dtype), MuonState(mu)

    return optax.GradientTransformation(init, update)


def _orthogonal(tree: Any, dtype: str) -> Any:
    """Replaces each matrix of the kernels in a tree. Matrices of one shape are a stack that is split over devices."""
    kernels, structure = jax.tree_util.tree_flatten_with_path(tree)
    parts = [split(path, kernel) for path, kernel in kernels]
    by_shape: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for i, matrices in enumerate(parts):
        for j, matrix in enumerate(matrices):
            by_shape.setdefault(matrix.shape[1:], []).append((i, j))
    for shape, places in by_shape.items():
        stack = jnp.concatenate([parts[i][j] for i, j in places])
        stack = ROOT_MEAN_SQUARE * max(shape) ** 0.5 * matrix_by_matrix(lambda stack: orthogonal(stack, dtype), stack)
        ends = np.cumsum([len(parts[i][j]) for i, j in places])
        for (i, j), found in zip(places, jnp.split(stack, ends[:-1]), strict=True):
            parts[i][j] = found
    joined = [join(path, found, kernel.shape) for (path, kernel), found in zip(kernels, parts, strict=True)]
    return jax.tree.unflatten(structure, joined)


def orthogonal(stack: jax.Array, dtype: str) -> jax.Array:
    """Computes about U Vᵀ of each matrix U S Vᵀ in a stack [matrices, rows, columns], by Newton–Schulz steps."""
    if stack.shape[1] > stack.shape[2]:
        return orthogonal(stack.mT, dtype).mT  # less arithmetic
    a, b, c = COEFFICIENTS
    multiply = functools.partial(jnp.matmul, precision=None if dtype == "bfloat16" else jax.lax.Precision.HIGHEST)
    x = stack / (jnp.sqrt(jnp.square(stack).sum((1, 2), keepdims=True)) + 1e-7)  # matrices of zeros stay so
    x = x.astype(jnp.bfloat16) if dtype == "bfloat16" else x
    for _ in range(STEPS):
        square = multiply(x, x.mT)
        x = a * x + multiply(b * square + c * multiply(square, square), x)
    return x.astype(stack.dtype)
