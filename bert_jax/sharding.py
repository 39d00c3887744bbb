"""One table from the model's logical axes to the mesh, and arrays placed by it.

The same code runs on one device and on many: with a mesh of one device every line here is a no-op.
"""

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

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
    ("segments", None),
    ("labels", None),
)


@dataclasses.dataclass
class MeshConfig:
    """How devices are arranged; -1 once: what is left."""

    data: int = -1  # copies of the model, each with its rows
    fsdp: int = 1  # the same, and parameters are cut over them too
    tensor: int = 1  # devices that share the heads, the feed-forward width and the vocabulary

    def problems(self) -> list[str]:
        """Sentences about what cannot work."""
        sizes = [getattr(self, axis) for axis in MESH_AXES]
        found = []
        if any(size < 1 and size != -1 for size in sizes) or sizes.count(-1) > 1:
            found.append(f"mesh={sizes} must be positive numbers, one of them -1 at most (what is left).")
        return found


def mesh_shape(config: MeshConfig, count: int) -> dict[str, int]:
    """The size of each axis on `count` devices; where they do not fit, what is left is 1 at least."""
    sizes = {axis: getattr(config, axis) for axis in MESH_AXES}
    fixed = int(np.prod([size for size in sizes.values() if size != -1]))
    return {axis: max(1, count // fixed) if size == -1 else size for axis, size in sizes.items()}


def data_devices(config: MeshConfig, count: int) -> int:
    """Parts that a batch is cut into, on `count` devices."""
    shape = mesh_shape(config, count)
    return int(np.prod([shape[axis] for axis in _mesh_axes("batch")]))


def mesh_problems(config: MeshConfig, count: int, sizes: Mapping[str, tuple[str, int]]) -> list[str]:
    """Sentences about what cannot be cut over `count` devices, all at once.

    Args:
      sizes: logical axis to what people call its size, and that size; these are cut into equal parts or not at all.
    """
    shape, found = mesh_shape(config, count), []
    if int(np.prod(list(shape.values()))) != count:
        given = " × ".join(str(getattr(config, axis)) for axis in MESH_AXES)
        found.append(f"mesh data × fsdp × tensor = {given} does not fit {count} device(s).")
    for axis, (name, size) in sizes.items():
        for mesh_axis in _mesh_axes(axis):
            if size % shape[mesh_axis]:
                found.append(
                    f"{name}={size} cannot be cut into mesh.{mesh_axis}={shape[mesh_axis]} equal parts: choose a"
                    f" divisor of {size}."
                )
    return found


def make_mesh(config: MeshConfig, devices: list[jax.Device] | None = None) -> Mesh:
    """The mesh over all devices of all processes, or over those given.

    Raises:
      ConfigError: the axes do not multiply to the number of devices.
    """
    count = len(devices or jax.devices())
    if problems := mesh_problems(config, count, {}):
        raise ConfigError("\n".join(problems))
    shape = tuple(mesh_shape(config, count).values())
    # Explicit axes, jax's default, would ask for a sharding at every reshape of the model.
    return jax.make_mesh(shape, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES), devices=devices)


def _mesh_axes(logical: str | None) -> tuple[str, ...]:
    """The mesh axes that a logical axis is cut over."""
    found = dict(LOGICAL_AXIS_RULES).get(logical)
    return (found,) if isinstance(found, str) else found or ()


def partition(names: tuple[str | None, ...], shape: tuple[int, ...], mesh: Mapping[str, int]) -> PartitionSpec:
    """How an array of these logical axes lies on a mesh of these sizes.

    A mesh axis that does not divide its axis of the array (30,522 words over 4 devices) cuts another one of it along
    with what cuts that already (the width of the word table): a checkpoint's arrays keep their shapes on any mesh, and
    devices their share of them. Within a step XLA cuts the words all the same, in unequal parts, for which it gathers
    the table once more: a vocabulary that divides, such as 30,528, is faster. Arrays with no other axis that is cut,
    the vocabulary's bias, are left whole.
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


def param_shardings(boxed_shapes, mesh: Mesh):
    """A NamedSharding for each leaf of a tree of `jax.ShapeDtypeStruct`, by the names boxed around it."""

    def one(leaf) -> NamedSharding:
        boxed = isinstance(leaf, nn.LogicallyPartitioned)
        names, shape = (leaf.names, leaf.value.shape) if boxed else ((), ())
        return NamedSharding(mesh, partition(names, shape, mesh.shape))

    return jax.tree.map(one, boxed_shapes, is_leaf=lambda leaf: isinstance(leaf, nn.LogicallyPartitioned))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over the devices of `data` and `fsdp`; those of `tensor` share theirs."""
    return NamedSharding(mesh, PartitionSpec(_mesh_axes("batch")))


def process_rows(mesh: Mesh, size: int) -> list[tuple[int, int]]:
    """Ranges [begin, end) of the rows of a batch of `size` that this process' devices hold, in order.

    One range where a process' devices follow each other on the mesh; on a torus they may not. Where `tensor` spans
    processes, these have the same rows.
    """
    slices = batch_sharding(mesh).addressable_devices_indices_map((size,)).values()
    ranges: list[tuple[int, int]] = []
    for begin, end in sorted({index[0].indices(size)[:2] for index in slices}):
        if ranges and ranges[-1][1] == begin:
            ranges[-1] = ranges[-1][0], end
        else:
            ranges.append((begin, end))
    return ranges


def place_rows(rows: dict[str, np.ndarray], size: int, mesh: Mesh) -> dict[str, jax.Array]:
    """This process' rows of a batch of `size`, those of `process_rows` in order, to a global array over the mesh."""
    sharding = batch_sharding(mesh)
    own = np.concatenate([np.arange(begin, end) for begin, end in process_rows(mesh, size)])

    def place(value: np.ndarray) -> jax.Array:
        def shard(index: tuple[slice, ...]) -> np.ndarray:
            begin, end, _ = index[0].indices(size)
            start = int(np.searchsorted(own, begin))
            return value[start : start + end - begin]

        return jax.make_array_from_callback((size, *value.shape[1:]), sharding, shard)

    return {name: place(value) for name, value in rows.items()}


def place_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """A whole batch that every process holds to a global array over the mesh; each places its own rows."""
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_callback(value.shape, sharding, lambda index, value=value: value[index])
        for name, value in batch.items()
    }


def rules():
    """A context in which the model's own constraints on activations follow the table."""
    return nn.logical_axis_rules(LOGICAL_AXIS_RULES)
