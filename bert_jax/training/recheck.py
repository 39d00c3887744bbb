"""Computes a step twice and compares the bits, because hardware may compute wrongly without a sign of it.

Such faults are rare on one machine and regular on thousands: Hochschild et al. (2021), "Cores that don't count".
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from bert_jax.errors import BertJaxError
from bert_jax.training import processes
from bert_jax.training.state import TrainState
from bert_jax.training.workdir.checksums import array_name, bit_sums

TrainStep = Callable[[TrainState, Any, int], tuple[TrainState, dict[str, jax.Array]]]


class HardwareError(BertJaxError):
    """Raised when the same computation has had two results."""


def rechecked(train_step: TrainStep, every: int) -> TrainStep:
    """Wraps a training step, which then needs room for a second state.

    Args:
      train_step: (state, batch, steps taken) -> (state, metrics); donates the state, and is deterministic.
      every: steps between those that are computed twice. Then, devices that hold the same part of a parameter are
        compared, too.

    Returns:
      The same function. It raises HardwareError.
    """

    def twice(state: TrainState, batch: Any, taken: int) -> tuple[TrainState, dict[str, jax.Array]]:
        step = taken + 1
        if step % every:
            return train_step(state, batch, taken)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
        first = bit_sums(train_step(jax.jit(_copied, out_shardings=shardings)(state), batch, taken)[0])
        state, metrics = train_step(state, batch, taken)
        second = bit_sums(state)
        # Each process sees its own devices, and all of them must end.
        if wrong := _union(processes.gather([name for name in first if first[name] != second[name]])):
            raise HardwareError(
                f"Step {step}, computed twice, had two results, in {_some(wrong)}: a device computes wrongly, or the"
                " step is not deterministic (on GPU, set XLA_FLAGS=--xla_gpu_deterministic_ops=true)."
            )
        check_replicas(state, step)
        return state, metrics

    return twice


def _copied(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def _union(lists: list[list[str]]) -> list[str]:
    return list(dict.fromkeys(name for names in lists for name in names))


def check_replicas(tree: Any, step: int) -> None:
    """Compares the devices that hold the same part of an array.

    Raises:
      HardwareError: some differ; names the arrays and the devices.
    """
    by_device: dict[jax.Device, dict[str, jax.Array]] = defaultdict(dict)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        for shard in leaf.addressable_shards:
            by_device[shard.device][f"{array_name(path)} {shard.index}"] = shard.data
    mine = {}
    for device, parts in by_device.items():
        with jax.set_mesh(Mesh(np.array([device]), ("device",))):  # the run's mesh has other devices
            mine[str(device)] = bit_sums(parts)
    holders: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for devices in processes.gather(mine):
        for device, sums in devices.items():
            for part, value in sums.items():
                holders[part][value].append(device)
    wrong = {part: list(found.values()) for part, found in holders.items() if len(found) > 1}
    if wrong:
        part, groups = next(iter(wrong.items()))
        names = sorted({part.split(" ", 1)[0] for part in wrong})
        groups = " and ".join(", ".join(group) for group in groups)
        raise HardwareError(
            f"After step {step}, devices that should hold the same bits of {_some(names)} differ: {groups} in"
            f" {part.split(' ', 1)[0]}. A device or its memory is faulty; resume without it, from the last checkpoint."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} other arrays" if len(names) > 3 else "")
