"""What a training step reads and writes; all of it is in a checkpoint."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from bert_jax import sharding


@flax.struct.dataclass
class TrainState:
    """Attributes:
    step: int32 [], steps taken so far.
    params: float32 arrays.
    opt_state: the optimiser's arrays.
    seed: uint32 [], from which each step's randomness is drawn together with `step`.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    seed: jax.Array


def create_state(
    init: Callable[[jax.Array], Any], optimizer: optax.GradientTransformation, seed: int, mesh: Mesh
) -> tuple[Callable[[], TrainState], TrainState]:
    """How to make the initial state, sharded from its first moment, and its abstract form.

    Args:
      init: from a key to parameters boxed with their logical axes.

    Returns:
      A function that makes the state on the mesh, and the same tree of `jax.ShapeDtypeStruct` with shardings.
    """

    def boxed() -> TrainState:
        params = init(jax.random.key(seed))
        # The optimiser's arrays inherit the boxes, and so the names, of the parameters they belong to.
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), jnp.uint32(seed))

    shardings = sharding.param_shardings(jax.eval_shape(boxed), mesh)
    make = jax.jit(lambda: nn.meta.unbox(boxed()), out_shardings=shardings)
    shapes = jax.tree.map(
        lambda shape, place: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=place),
        jax.eval_shape(make),
        shardings,
    )
    return make, shapes
