"""Checksums of arrays, computed where they are when a state is saved and again when it is restored.

Orbax stores no checksums, so a flipped bit would come back as a number. The pass over the arrays that computes them
also looks for numbers that are not finite, which nobody can train on or use.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.errors import CheckpointError
from bert_jax.hashing import GOLDEN32

MIX = 0x85EBCA6B  # odd, as in MurmurHash3
PIECE = 1 << 20  # elements at a time on the host


class NotFiniteError(CheckpointError):
    """Arrays hold NaN or infinity.

    Attributes:
      where: the names of the arrays, for messages.
    """

    def __init__(self, names: list[str]):
        others = f" and {len(names) - 3} other arrays" if len(names) > 3 else ""
        self.where = ", ".join(names[:3]) + others
        super().__init__(f"There are numbers that are not finite in {self.where}: nothing can be done with them.")


def checksums(tree: Any) -> dict[str, int]:
    """Computes a 32-bit checksum of each array, by its path. The same on any number of devices, and on the host.

    Raises:
      NotFiniteError: arrays hold numbers that are not finite; names them.
    """
    found = _sums_and_finite(tree)
    if wrong := [name for name, (_, finite) in found.items() if not finite]:
        raise NotFiniteError(wrong)
    return {name: total for name, (total, _) in found.items()}


def bit_sums(tree: Any) -> dict[str, int]:
    """As `checksums`, of any numbers."""
    return {name: total for name, (total, _) in _sums_and_finite(tree).items()}


def _sums_and_finite(tree: Any) -> dict[str, tuple[int, bool]]:
    leaves = {array_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    device = {name: leaf for name, leaf in leaves.items() if not isinstance(leaf, np.ndarray)}
    # On all devices, before anything else begins there: see `Program`.
    sums = jax.block_until_ready(_leaf_checksums(list(device.values()))) if device else []
    found = dict(zip(device, jax.device_get(sums), strict=True))
    found |= {name: _host_checksum(leaf) for name, leaf in leaves.items() if name not in device}
    return {name: (int(found[name][0]), bool(found[name][1])) for name in leaves}


def _host_checksum(array: np.ndarray) -> tuple[int, bool]:
    """As `_leaf_checksums`, in pieces, because each step would take as much memory again."""
    numbers = np.ascontiguousarray(array).reshape(-1)
    bits = numbers.view({1: np.uint8, 2: np.uint16, 4: np.uint32}[array.itemsize])
    total, finite = 0, True
    for begin in range(0, len(bits), PIECE):
        finite = finite and bool(np.isfinite(numbers[begin : begin + PIECE]).all())
        piece = bits[begin : begin + PIECE].astype(np.uint32)
        position = np.arange(begin, begin + len(piece), dtype=np.uint64).astype(np.uint32)
        mixed = (piece ^ (position * np.uint32(GOLDEN32))) * np.uint32(MIX)
        total += int((mixed ^ (mixed >> np.uint32(15))).sum(dtype=np.uint64))
    return total % 2**32, finite


def array_name(path: tuple[Any, ...]) -> str:
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
        mixed = (bits ^ (position * GOLDEN32)) * jnp.uint32(MIX)
        return (mixed ^ (mixed >> 15)).sum(dtype=jnp.uint32), jnp.isfinite(x).all()

    return [one(leaf) for leaf in leaves]


def compare_checksums(tree: Any, stored: dict[str, int], step: int) -> None:
    """Compares the checksums of restored arrays with the stored ones.

    Args:
      tree: the restored arrays, all that were saved or some of them.
      stored: the checksums when they were saved.
      step: of the checkpoint, for messages.

    Raises:
      CheckpointError: some differ, or hold numbers that are not finite; names these arrays.
    """
    try:
        found = checksums(tree)
    except NotFiniteError as error:
        raise CheckpointError(f"step {step} holds numbers that are not finite in {error.where}") from None
    damaged = sorted(name for name in found if found[name] != stored.get(name))
    if damaged:
        raise CheckpointError(f"step {step} does not match its checksums in {', '.join(damaged)}")
