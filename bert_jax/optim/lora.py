"""LoRA (Hu et al. 2021, arXiv 2106.09685): matrices of the body stay as they are, and an update of low rank is learned.

For an adapted kernel W, whose name is `bert/…/kernel`, the parameters also hold `lora/bert/…/kernel/{a,b,scale}`. The
model runs with W + scale · a · b. That is a tree of the usual form, so nothing else knows of adapters.
"""

import math
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.errors import ConfigError
from bert_jax.optim.parameters import parameter_name

BRANCH = "lora"
# The kernels of attention and feed-forward. Queries, keys and values are stored as one kernel, so they share `a`.
ADAPTED = re.compile(r"^bert/encoder/.*/kernel$")
# What a run with adapters does not train: the body except for its pooler, which may be as new as a head.
FROZEN = rf"^bert/(?!pooler/)|^{BRANCH}/.*/scale$"
PARTS = ("a", "b", "scale")


def with_adapters(params: Any, rank: int, alpha: float, key: jax.Array) -> Any:
    """Adds an adapter for each kernel of attention and feed-forward.

    Args:
      params: the parameters, boxed with their logical axes.
      rank: the columns of `a` and rows of `b`, r.
      alpha: the update is alpha / r · a · b.
      key: a random key.

    Returns:
      The parameters with the branch `lora`, boxed. `a`, float32 [inputs …, r], is uniform in ±1 / √inputs as in the
      paper's code; `b`, float32 [r, outputs …], is 0, so that the model starts as it was; `scale`, float32 [], is
      alpha / r, stored so that a checkpoint can be merged without its config.

    Raises:
      ConfigError: the rank is higher than a kernel's can be.
    """
    adapters: dict[str, Any] = {}
    boxes = jax.tree_util.tree_leaves_with_path(params, is_leaf=lambda leaf: isinstance(leaf, nn.LogicallyPartitioned))
    for path, box in boxes:
        if not ADAPTED.search(name := parameter_name(path)):
            continue
        # A kernel leads from the width of the body or back to it, so the axis `embed` is all of one side.
        split, shape = 1 if box.names[0] == "embed" else len(box.names) - 1, box.value.shape
        inputs, outputs = math.prod(shape[:split]), math.prod(shape[split:])
        if rank > min(inputs, outputs):
            raise ConfigError(
                f"optimizer.lora_rank={rank} is more than {min(inputs, outputs)}, the highest rank of {name}: lower it."
            )
        bound, own = inputs**-0.5, jax.random.fold_in(key, zlib.crc32(name.encode()))
        a = jax.random.uniform(own, (*shape[:split], rank), jnp.float32, -bound, bound)
        b = jnp.zeros((rank, *shape[split:]), jnp.float32)
        adapters |= {
            f"{BRANCH}/{name}/a": nn.LogicallyPartitioned(a, (*box.names[:split], "rank")),
            f"{BRANCH}/{name}/b": nn.LogicallyPartitioned(b, ("rank", *box.names[split:])),
            f"{BRANCH}/{name}/scale": nn.LogicallyPartitioned(jnp.float32(alpha / rank), ()),
        }
    return params | flax.traverse_util.unflatten_dict(adapters, sep="/")


def merged(params: Any) -> Any:
    """Returns the parameters of the model itself: kernels with their adapters' updates, and no branch `lora`."""
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(params, sep="/")
    whole = {
        name: updated(array, *(flat[part] for part in parts)) if (parts := adapter_of(name, flat)) else array
        for name, array in own_names(flat).items()
    }
    return flax.traverse_util.unflatten_dict(whole, sep="/")


def adapter_of(name: str, there: Iterable[str]) -> list[str]:
    """Returns the names of the arrays that adapt a parameter: those of `a`, `b` and `scale`, or none."""
    return [part for part in (f"{BRANCH}/{name}/{part}" for part in PARTS) if part in there]


def own_names(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out the arrays of adapters."""
    return {name: array for name, array in arrays.items() if not name.startswith(f"{BRANCH}/")}


def base_path(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names on the path of the parameter that an array adapts, or of the array itself if it is not one."""
    return names[1:-1] if names[0] == BRANCH else names


def check_start(new: Iterable[str]) -> None:
    """Checks the names of the parameters that start at random.

    Raises:
      ConfigError: one of them would be adapted or frozen, so it would stay at random.
    """
    random = [name for name in own_names(dict.fromkeys(new)) if re.search(FROZEN, name)]
    if random:
        raise ConfigError(
            f"{random[0]} would start at random, and optimizer.lora_rank keeps the body as it starts: leave out"
            " train.init_skip and train.reinit_layers, or start from a model that has all of the body."
        )


def updated(kernel: Any, a: Any, b: Any, scale: Any) -> Any:
    """Returns kernel + scale · a · b, by NumPy if the kernel is an array of NumPy."""
    if isinstance(kernel, np.ndarray):
        return kernel + scale * np.tensordot(a, b, 1)
    # In float32 on every device: training and loading must see the same model, and the product is small.
    return kernel + scale * jnp.tensordot(a, b, 1, precision=jax.lax.Precision.HIGHEST)
