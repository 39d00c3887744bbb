"""The weight matrices within a stored array: a kernel may hold several, and a matrix may have more than two axes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from bert_jax.optim.parameters import path_names

# Kernels that hold several matrices, [inputs, …, matrices, outputs], and the number of entries at the end of the axis
# `matrices` that are a matrix each. The entries before them are one matrix: all queries, also if several share a key. A
# new kernel that fuses matrices is added here, and nowhere else.
FUSED = {"query_key_value": 2}  # [embed, heads, qkv, head]
# A module of this name is a scan over layers: the first axis of each of its arrays is the layer.
SCANNED = "layers"


def in_encoder(params: Any) -> Any:
    """Returns a tree of booleans: whether an array is a kernel of attention or feed-forward."""

    def one(path: tuple, _: Any) -> bool:
        names = path_names(path)
        return names[:2] == ("bert", "encoder") and names[-1] == "kernel"

    return jax.tree_util.tree_map_with_path(one, params)


def stacked_axes(path: tuple, ndim: int) -> tuple[int, ...]:
    """Returns the axes of a parameter that tell its matrices apart, from its path in the tree and number of axes.

    The path decides, because the axis names that are boxed around an initial parameter are gone by the time of an
    update.
    """
    return ((0,) if _is_scanned(path) else ()) + ((ndim - 2,) if _own_entries(path) else ())


def over_matrices(path: tuple, x: jax.Array, reduce: Callable[..., jax.Array]) -> jax.Array:
    """Reduces each matrix (or vector) of a stored array to a number.

    Numbers are of whole matrices under any sharding, since reductions within `jax.jit` are over all devices.

    Args:
      path: the path of the parameter in its tree.
      x: an array like the parameter.
      reduce: `jnp.sum` or `jnp.mean`.

    Returns:
      An array that broadcasts against x; each element of x meets the number of its matrix.
    """
    stacked = stacked_axes(path, x.ndim)
    found = reduce(x, axis=tuple(axis for axis in range(x.ndim) if axis not in stacked), keepdims=True)
    shared = x.shape[-2] - own if (own := _own_entries(path)) else 1
    if shared == 1:
        return found
    # Entries of one matrix have the same size, so the mean of their means is the mean of all.
    whole = jnp.repeat(reduce(found[..., :shared, :], axis=-2, keepdims=True), shared, axis=-2)
    return jnp.concatenate([whole, found[..., shared:, :]], axis=-2)


def split(path: tuple, kernel: jax.Array) -> list[jax.Array]:
    """Returns the matrices of a kernel of attention or feed-forward, with the width of the body first.

    Those that lead back to the body are transposed. So all are split over devices alike.

    Returns:
      Arrays [layers, embed, other]; one layer if the kernel is not part of a scan over layers.
    """
    layers = kernel.shape[0] if _is_scanned(path) else 1
    if _leads_back(path):
        return [kernel.reshape(layers, -1, kernel.shape[-1]).mT]
    own = _own_entries(path)
    shared = kernel.shape[-2] - own
    parts = [kernel[..., :shared, :]] + [kernel[..., i : i + 1, :] for i in range(shared, shared + own)]
    return [part.reshape(layers, body_width(path, kernel.shape), -1) for part in (parts if own else [kernel])]


def join(path: tuple, matrices: list[jax.Array], shape: tuple[int, ...]) -> jax.Array:
    """Returns the kernel of this shape whose `split` is `matrices`."""
    if _leads_back(path):
        return matrices[0].mT.reshape(shape)
    if not _own_entries(path):
        return matrices[0].reshape(shape)
    return jnp.concatenate([part.reshape(*shape[:-2], -1, shape[-1]) for part in matrices], axis=-2)


def body_width(path: tuple, shape: tuple[int, ...]) -> int:
    """Returns the width of the body, H, from the shape of a kernel of attention or feed-forward."""
    return shape[-1] if _leads_back(path) else shape[_is_scanned(path)]


def _leads_back(path: tuple) -> bool:
    """Tells whether a kernel leads back to the width of the body; all others lead away from it."""
    return path_names(path)[-2] == "output"


def _is_scanned(path: tuple) -> bool:
    return SCANNED in path_names(path)[:-1]


def _own_entries(path: tuple) -> int:
    """Returns how many entries are a matrix (or, in its bias, a vector) each; 0 if the array is not a fused one."""
    names = path_names(path)
    return FUSED.get(names[-2], 0) if len(names) > 1 and names[-1] in ("kernel", "bias") else 0
