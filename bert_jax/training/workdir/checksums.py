"""Checksums of arrays, computed on the device when a state is saved and again when it is restored.

Orbax stores no checksums, so a flipped bit would come back as a number.
"""

from typing import Any

import jax
import jax.numpy as jnp

from bert_jax.errors import CheckpointError
from bert_jax.hashing import GOLDEN32


def checksums(tree: Any) -> dict[str, int]:
    """Computes a 32-bit checksum of each array, by its path. It is the same on any number of devices."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    sums = jax.device_get(_leaf_checksums([leaf for _, leaf in leaves]))
    return {_name(path): int(value) for (path, _), value in zip(leaves, sums, strict=True)}


def _name(path: tuple[Any, ...]) -> str:
    """Returns `params/encoder/...`: the same for dataclasses and for the dictionaries they are read back as."""
    return "/".join(str(getattr(part, "name", getattr(part, "key", getattr(part, "idx", part)))) for part in path)


@jax.jit
def _leaf_checksums(leaves):
    def one(x):
        unsigned = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[x.dtype.itemsize]
        bits = jax.lax.bitcast_convert_type(x, unsigned).astype(jnp.uint32)
        # Mixed with the position, so that swapped elements are detected. The sum is exact in any order.
        position = jnp.zeros(x.shape, jnp.uint32)
        for axis, size in enumerate(x.shape):
            position = position * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis)
        mixed = (bits ^ (position * GOLDEN32)) * jnp.uint32(0x85EBCA6B)
        return (mixed ^ (mixed >> 15)).sum(dtype=jnp.uint32)

    return [one(leaf) for leaf in leaves]


def compare_checksums(found: dict[str, int], stored: dict[str, int], step: int) -> None:
    """Compares the checksums of restored arrays with the stored ones.

    Raises:
      CheckpointError: some differ; names these arrays.
    """
    damaged = sorted(name for name in found if found[name] != stored.get(name))
    if damaged:
        raise CheckpointError(f"step {step} does not match its checksums in {', '.join(damaged)}")
