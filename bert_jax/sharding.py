"""One table from the model's logical axes to the mesh, and arrays placed by it.

The same code runs on one device and on many: with a mesh of one device every line here is a no-op.
"""

import dataclasses

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
    # parameters
    ("vocab", "tensor"),
    ("embed", "fsdp"),
    ("embed_out", None),
    ("pooled", None),
    ("heads", "tensor"),
    ("mlp", "tensor"),
    ("qkv", None),
    ("head", None),
    ("positions", None),
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


def make_mesh(config: MeshConfig, devices: list[jax.Device] | None = None) -> Mesh:
    """The mesh over all devices, or over those given.

    Raises:
      ConfigError: the axes do not multiply to the number of devices.
    """
    count, sizes = len(devices or jax.devices()), [getattr(config, axis) for axis in MESH_AXES]
    fixed = int(np.prod([size for size in sizes if size != -1]))
    shape = [count // fixed if size == -1 else size for size in sizes]
    if int(np.prod(shape)) != count:
        raise ConfigError(f"mesh data × fsdp × tensor = {' × '.join(map(str, sizes))} does not fit {count} device(s).")
    # Explicit axes, jax's default, would ask for a sharding at every reshape of the model.
    return jax.make_mesh(shape, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES), devices=devices)


def param_shardings(boxed_shapes, mesh: Mesh):
    """A NamedSharding for each leaf of a tree of `jax.ShapeDtypeStruct`, by the names boxed around it."""
    specs = nn.get_partition_spec(boxed_shapes)
    return nn.logical_to_mesh_sharding(specs, mesh, LOGICAL_AXIS_RULES)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over the devices of `data` and `fsdp`; those of `tensor` share theirs."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def place_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Rows of this process to a global array over the mesh."""
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def rules():
    """A context in which the model's own constraints on activations follow the table."""
    return nn.logical_axis_rules(LOGICAL_AXIS_RULES)
