"""The trust ratios of LAMB (You et al. 2020), one for each weight matrix, however matrices are stored."""

import jax
import jax.numpy as jnp
import optax

# Kernels that hold several matrices side by side, and the axis, from the end, that counts them. A new kernel that
# fuses matrices is named here, and nowhere else.
FUSED = {"query_key_value": -2}  # [embed, heads, qkv, head]
# A module of this name is a scan over layers: the first axis of all its arrays counts them.
SCANNED = "layers"


def stacked_axes(path: tuple, ndim: int) -> tuple[int, ...]:
    """The axes of a parameter that tell matrices apart, by its path in the tree and its number of axes.

    They are told from the path since the names of the axes, boxed around a parameter when it is made, are gone by the
    time of an update.
    """
    names = [part.key for part in path if isinstance(part, jax.tree_util.DictKey)]
    scanned = (0,) if SCANNED in names[:-1] else ()
    fused = (ndim + FUSED[names[-2]],) if names[-1] == "kernel" and names[-2:-1] and names[-2] in FUSED else ()
    return scanned + fused


def scale_by_trust_ratios() -> optax.GradientTransformation:
    """Each matrix' update becomes as long as the matrix: u · ‖w‖ / ‖u‖, or u where one of them is 0.

    Norms are those of whole matrices under any sharding, as sums within `jax.jit` are. φ of the paper is the identity,
    as in NVIDIA's code: no bounds on ‖w‖.
    """

    def one(path: tuple, update: jax.Array, param: jax.Array) -> jax.Array:
        stacked = stacked_axes(path, param.ndim)
        within = tuple(axis for axis in range(param.ndim) if axis not in stacked)

        def norm(x: jax.Array) -> jax.Array:
            return jnp.sqrt(jnp.square(x).sum(within, keepdims=True))

        of_param, of_update = norm(param), norm(update)
        defined = (of_param > 0) & (of_update > 0)
        return update * jnp.where(defined, of_param / jnp.where(defined, of_update, 1), 1)

    def update(updates, state, params):
        return jax.tree_util.tree_map_with_path(one, updates, params), state

    return optax.GradientTransformation(optax.init_empty_state, update)
