"""The trust ratios of LAMB (You et al. 2020): one for each weight matrix, however the matrices are stored."""

import jax
import jax.numpy as jnp
import optax

from bert_jax.optim.parameters import path_names

# Kernels that hold several matrices, and the axis (counted from the end) that tells them apart. A new kernel that
# fuses matrices is added here, and nowhere else.
FUSED = {"query_key_value": -2}  # [embed, heads, qkv, head]
# A module of this name is a scan over layers: the first axis of each of its arrays is the layer.
SCANNED = "layers"


def stacked_axes(path: tuple, ndim: int) -> tuple[int, ...]:
    """Returns the axes of a parameter that tell its matrices apart, from its path in the tree and number of axes.

    The path decides, because the axis names that are boxed around an initial parameter are gone by the time of an
    update.
    """
    names = path_names(path)
    scanned = (0,) if SCANNED in names[:-1] else ()
    fused = (ndim + FUSED[names[-2]],) if names[-1] == "kernel" and names[-2:-1] and names[-2] in FUSED else ()
    return scanned + fused


def scale_by_trust_ratios() -> optax.GradientTransformation:
    """Rescales the update of each matrix to the norm of the matrix: u · ‖w‖ / ‖u‖, or u if either norm is 0.

    Norms are of whole matrices under any sharding, since sums within `jax.jit` are over all devices. The paper's φ is
    the identity, as in NVIDIA's code: ‖w‖ is not bounded.
    """

    def one(path: tuple, update: jax.Array, param: jax.Array) -> jax.Array:
        stacked = stacked_axes(path, param.ndim)
        within = tuple(axis for axis in range(param.ndim) if axis not in stacked)

        def norm(x: jax.Array) -> jax.Array:
            return jnp.sqrt(jnp.square(x).sum(within, keepdims=True))

        of_param, of_update = norm(param), norm(update)
        defined = (of_param > 0) & (of_update > 0)
        return update * jnp.where(defined, of_param / jnp.where(defined, of_update, 1), 1)

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        return jax.tree_util.tree_map_with_path(one, updates, params), state

    return optax.GradientTransformation(optax.init_empty_state, update)
