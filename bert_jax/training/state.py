"""The training state; a checkpoint holds all of it."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from bert_jax import sharding
from bert_jax.optim.mean import mean_params
from bert_jax.optim.parameters import parameter_name


@flax.struct.dataclass
class TrainState:
    """Attributes:
    step: int32 [], number of steps taken.
    params: the parameters, float32 arrays.
    opt_state: the optimiser's arrays.
    seed: uint32 []; with `step`, it determines the randomness of each step.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    seed: jax.Array

    @property
    def scored(self) -> Any:
        """The parameters that are scored, and that a loaded model has: their mean if there is one."""
        return mean_params(self.opt_state, self.params)


def create_state(
    init: Callable[[jax.Array], Any], optimizer: optax.GradientTransformation, seed: int, mesh: Mesh
) -> tuple[Callable[[Mapping[str, jax.Array]], TrainState], TrainState]:
    """Returns a function that makes the initial state, already sharded, and the shapes of that state.

    Args:
      init: maps a key to parameters boxed with their logical axes.
      optimizer: makes the optimiser state.
      seed: of the initial parameters and of the state.
      mesh: the devices.

    Returns:
      A pair. First, a function that makes the state on the mesh. It takes existing parameters by name, such as
      `bert/embeddings/word`, sharded like the state's and donated; all others are initialized at random. Second, the
      same tree as `jax.ShapeDtypeStruct` with shardings.
    """

    def boxed(given: Mapping[str, jax.Array], seed: jax.typing.ArrayLike) -> TrainState:
        def one(path: tuple, leaf: jax.Array) -> jax.Array:
            return given.get(parameter_name(path), leaf)

        params = jax.tree_util.tree_map_with_path(one, init(jax.random.key(seed)))
        # The optimiser's arrays inherit the boxes, and so the logical axes, of their parameters.
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), jnp.uint32(seed))

    # The seed is an argument, so that runs with other seeds share what is compiled.
    shardings = sharding.param_shardings(jax.eval_shape(boxed, {}, 0), mesh)
    seeded = jax.jit(lambda given, seed: nn.meta.unbox(boxed(given, seed)), out_shardings=shardings, donate_argnums=0)

    def make(given: Mapping[str, jax.Array]) -> TrainState:
        return seeded(given, np.uint32(seed))

    shapes = jax.tree.map(
        lambda shape, place: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=place),
        jax.eval_shape(make, {}),
        shardings,
    )
    return make, shapes
