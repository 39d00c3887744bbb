"""The update clipping of StableAdamW (Wortsman et al. 2023, arXiv 2304.13013), for each weight matrix by itself."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from bert_jax.optim.matrices import over_matrices


def clip_updates(inner: optax.GradientTransformation, b2: float, eps: float) -> optax.GradientTransformation:
    """Divides the update of each matrix or vector by max(1, RMS), where RMS is that of g / max(√v, eps) over it.

    v is the running mean of g² that Adam divides by: corrected for its start from 0, and with the newest g in it. Where
    gradients are as usual, RMS is about 1. Where they have outgrown v, the update becomes smaller, so a run needs no
    clipping of the gradient. AdaFactor (Shazeer & Stern 2018, arXiv 1804.04235) is the source of the idea.

    The authors' code, and optimi's, which trained ModernBERT, correct the decay rates instead of the means: b becomes
    b · (1 − b^(t − 1)) / (1 − b^t). That gives the same means.

    Args:
      inner: a chain that begins with `optax.scale_by_adam(…, b2, eps)`. What it adds to Adam's direction, weight decay
        for example, is divided too, as if the learning rate were lower.
      b2: decay rate of v.
      eps: a lower bound for √v.
    """

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None) -> tuple[optax.Updates, Any]:
        inner_update: Any = inner.update
        changes, after = inner_update(updates, state, params)
        adam = after[0]
        squares = optax.tree.bias_correction(adam.nu, b2, adam.count)

        def one(path: tuple, change: jax.Array, gradient: jax.Array, square: jax.Array) -> jax.Array:
            ratios = jnp.square(gradient) / jnp.maximum(square, eps**2)
            return change / jnp.maximum(jnp.sqrt(over_matrices(path, ratios, jnp.mean)), 1)

        return jax.tree_util.tree_map_with_path(one, changes, updates, squares), after

    return optax.GradientTransformation(inner.init, update)
