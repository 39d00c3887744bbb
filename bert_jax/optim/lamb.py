"""The trust ratios of LAMB (You et al. 2020): one for each weight matrix, however the matrices are stored."""

import jax
import jax.numpy as jnp
import optax

from bert_jax.optim.matrices import over_matrices


def scale_by_trust_ratios() -> optax.GradientTransformation:
    """Rescales the update of each matrix to the norm of the matrix: u · ‖w‖ / ‖u‖, or u if either norm is 0.

    The paper's φ is the identity, as in NVIDIA's code: ‖w‖ is not bounded.
    """

    def one(path: tuple, update: jax.Array, param: jax.Array) -> jax.Array:
        def norm(x: jax.Array) -> jax.Array:
            return jnp.sqrt(over_matrices(path, jnp.square(x), jnp.sum))

        of_param, of_update = norm(param), norm(update)
        defined = (of_param > 0) & (of_update > 0)
        return update * jnp.where(defined, of_param / jnp.where(defined, of_update, 1), 1)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        return jax.tree_util.tree_map_with_path(one, updates, params), state

    return optax.GradientTransformation(optax.init_empty_state, update)
