"""The table that maps the model's logical axes to the mesh, and functions that place arrays accordingly.

The same code runs on one device and on many: on a mesh of one device, everything here is a no-op.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from bert_jax.configuration import setting
from bert_jax.errors import ConfigError

MESH_AXES = ("data", "fsdp", "tensor")

LOGICAL_AXIS_RULES = (
    # activations
    ("batch", ("data", "fsdp")),
    ("sequence", None),
    ("activation_embed", None),
    ("activation_heads", "tensor"),
    ("activation_mlp", "tensor"),
    ("activation_vocab", "tensor"),
    # parameters
    ("vocab", "tensor"),
    ("embed", "fsdp"),
    ("embed_out", "tensor"),
    ("pooled", "tensor"),
    ("heads", "tensor"),
    ("mlp", "tensor"),
    ("positions", "tensor"),
    ("qkv", None),
    ("head", None),
    ("token_types", None),
    ("labels", None),
    ("rank", None),
)


@dataclasses.dataclass
class MeshConfig:
    """How devices are arranged. One of the sizes may be -1: all remaining devices."""

    # copies of the model, each with its own rows of the batch; -1: all remaining devices
    data: int = setting(-1, may_change="devices; sums in another order")
    # like data, but parameters and optimiser state are split over these devices too
    fsdp: int = setting(1, may_change="devices; sums in another order")
    # devices that split heads, feed-forward width and vocabulary between them
    tensor: int = setting(1, may_change="devices; sums in another order")

    def problems(self) -> list[str]:
        """Returns a message for each setting that cannot work."""
        sizes = [getattr(self, axis) for axis in MESH_AXES]
        found = []
        if any(size < 1 and size != -1 for size in sizes) or sizes.count(-1) > 1:
            found.append(f"mesh={sizes}: give sizes of at least 1; one of them may be -1 (all remaining devices).")
        return found


def mesh_shape(config: MeshConfig, count: int) -> dict[str, int]:
    """Returns the size of each mesh axis on `count` devices; -1 becomes at least 1, even if the sizes do not fit."""
    sizes = {axis: getattr(config, axis) for axis in MESH_AXES}
    fixed = int(np.prod([size for size in sizes.values() if size != -1]))
    return {axis: max(1, count // fixed) if size == -1 else size for axis, size in sizes.items()}


def data_devices(config: MeshConfig, count: int) -> int:
    """Returns how many parts a batch is split into on `count` devices."""
    shape = mesh_shape(config, count)
    return int(np.prod([shape[axis] for axis in _mesh_axes("batch")]))


def mesh_problems(config: MeshConfig, count: int, sizes: Mapping[str, tuple[str, int]]) -> list[str]:
    """Returns a message for each axis that cannot be split over `count` devices.

    Args:
      config: the mesh.
      count: the number of devices.
      sizes: from each logical axis that must be split into equal parts to the name of its size, for messages, and the
        size.
    """
    shape, found = mesh_shape(config, count), []
    if int(np.prod(list(shape.values()))) != count:
        given = " × ".join(str(getattr(config, axis)) for axis in MESH_AXES)
        found.append(
            f"mesh data × fsdp × tensor = {given} does not fit {count} device(s): choose sizes with that product."
        )
    for axis, (name, size) in sizes.items():
        for mesh_axis in _mesh_axes(axis):
            if size % shape[mesh_axis]:
                found.append(
                    f"{name}={size} cannot be split into mesh.{mesh_axis}={shape[mesh_axis]} equal parts: choose a"
                    f" divisor of {size}."
                )
    return found


def make_mesh(config: MeshConfig, devices: list[jax.Device] | None = None) -> Mesh:
    """Makes the mesh of all devices of all processes, or of the given devices.

    Raises:
      ConfigError: the product of the sizes is not the number of devices.
    """
    count = len(devices or jax.devices())
    if problems := mesh_problems(config, count, {}):
        raise ConfigError("\n".join(problems))
    shape = tuple(mesh_shape(config, count).values())
    # Explicit axes, JAX's default, would require a sharding at every reshape of the model.
    return jax.make_mesh(shape, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES), devices=devices)


def _mesh_axes(logical: str | None) -> tuple[str, ...]:
    """Returns the mesh axes that a logical axis is split over."""
    found = None if logical is None else dict(LOGICAL_AXIS_RULES).get(logical)
    return (found,) if isinstance(found, str) else found or ()


def partition(names: tuple[str | None, ...], shape: tuple[int, ...], mesh: Mapping[str, int]) -> PartitionSpec:
    """Returns the partitioning of an array with these logical axes on a mesh with these sizes.

    If a mesh axis does not divide its array axis (30,522 words over 4 devices), it splits another array axis that is
    split already (the width of the word table), along with that axis' own mesh axes. So the arrays of a checkpoint have
    the same shapes on any mesh, and each device still holds only its share. Within a step, XLA splits the words
    nevertheless, into unequal parts, and gathers the table once more to do so: a vocabulary size that divides, such as
    30,528, is faster. An array without another axis to split, the bias of the vocabulary, is replicated.
    """
    cuts = [list(_mesh_axes(name)) for name in names]

    def divides(place: int, axes: list[str]) -> bool:
        return shape[place] % int(np.prod([mesh[axis] for axis in axes])) == 0

    for place, axes in enumerate(cuts):
        if axes and not divides(place, axes):
            cuts[place] = []
            other = next((i for i, cut in enumerate(cuts) if i != place and cut and divides(i, cut + axes)), None)
            if other is not None:
                cuts[other] += axes
    return PartitionSpec(*(tuple(cut) if len(cut) > 1 else cut[0] if cut else None for cut in cuts))


def param_shardings(boxed_shapes: Any, mesh: Mesh) -> Any:
    """Returns a NamedSharding for each leaf of a tree of `jax.ShapeDtypeStruct`, from the names boxed around it."""

    def one(leaf: Any) -> Any:
        # A box may be empty: that of a frozen parameter in the optimiser's state.
        names, inside = (leaf.names, leaf.value) if isinstance(leaf, nn.LogicallyPartitioned) else ((), leaf)
        return jax.tree.map(lambda x: NamedSharding(mesh, partition(names, x.shape, mesh.shape)), inside)

    return jax.tree.map(one, boxed_shapes, is_leaf=lambda leaf: isinstance(leaf, nn.LogicallyPartitioned))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a batch: rows are split over `data` and `fsdp`, and replicated over `tensor`."""
    return NamedSharding(mesh, PartitionSpec(_mesh_axes("batch")))


def process_rows(mesh: Mesh, size: int) -> list[tuple[int, int]]:
    """Returns the ranges [begin, end) of a batch of `size` rows that this process' devices hold, in order.

    There is one range if the process' devices are adjacent on the mesh; on a torus they may not be. If `tensor` spans
    processes, these hold the same rows.
    """
    slices = batch_sharding(mesh).addressable_devices_indices_map((size,)).values()
    ranges: list[tuple[int, int]] = []
    for begin, end in sorted({index[0].indices(size)[:2] for index in slices if index}):
        if ranges and ranges[-1][1] == begin:
            ranges[-1] = ranges[-1][0], end
        else:
            ranges.append((begin, end))
    return ranges


def place_rows(rows: dict[str, np.ndarray], size: int, mesh: Mesh) -> dict[str, jax.Array]:
    """Makes global arrays on the mesh from this process' rows of a batch of `size`, in the order of `process_rows`."""
    sharding = batch_sharding(mesh)
    own = np.concatenate([np.arange(begin, end) for begin, end in process_rows(mesh, size)])

    def place(value: np.ndarray) -> jax.Array:
        def shard(index: tuple[slice, ...] | None) -> np.ndarray:
            assert index  # every device of this mesh has rows
            begin, end, _ = index[0].indices(size)
            start = int(np.searchsorted(own, begin))
            return value[start : start + end - begin]

        return jax.make_array_from_callback((size, *value.shape[1:]), sharding, shard)

    return {name: place(value) for name, value in rows.items()}


def place_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Makes global arrays on the mesh from a batch that every process holds in full; each places its own rows."""
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_callback(value.shape, sharding, lambda index, value=value: value[index])
        for name, value in batch.items()
    }


def matrix_by_matrix(compute: Callable[[jax.Array], jax.Array], stack: jax.Array) -> jax.Array:
    """Computes `compute(stack)`, for a function of each matrix by itself, with whole matrices split over all devices.

    Call it within `jax.jit` and `jax.set_mesh`. The mesh axes move from the axes of the matrices to that of the stack
    one by one, and back. In one move, or with parts of unequal size, XLA would gather the whole stack on each device.

    Args:
      compute: maps zeros to zeros; the stack is padded with them.
      stack: matrices [matrices, embed, other], split as kernels are.
    """
    mesh, count = jax.sharding.get_abstract_mesh(), len(stack)
    if mesh.size <= 1:
        return compute(stack)
    moves = [(None, "fsdp", "tensor"), ("fsdp", None, "tensor"), (("fsdp", "tensor"),), (("fsdp", "tensor", "data"),)]
    stack = jnp.pad(stack, ((0, -count % mesh.size), (0, 0), (0, 0)))
    for move in moves:
        stack = jax.lax.with_sharding_constraint(stack, PartitionSpec(*move))
    stack = compute(stack)
    for move in reversed(moves):
        stack = jax.lax.with_sharding_constraint(stack, PartitionSpec(*move))
    return stack[:count]


def rules() -> contextlib.AbstractContextManager[None]:
    """Returns a context in which the model's constraints on activations follow the table."""
    return nn.logical_axis_rules(LOGICAL_AXIS_RULES)
