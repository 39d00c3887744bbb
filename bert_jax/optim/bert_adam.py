"""Adam without bias correction, as in BERT's released code."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class BertAdamState(NamedTuple):
    """The state of `scale_by_bert_adam`.

    Attributes:
      mu: the running mean of the gradients, arrays like the parameters.
      nu: the running mean of their squares.
    """

    mu: Any
    nu: Any


def scale_by_bert_adam(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Rescales gradients to m / (√v + eps), with means that start from 0 and are not corrected (Devlin et al. 2018).

    Adam (Kingma & Ba 2015) divides the means by 1 − b1^t and 1 − b2^t. Without that, the first steps are longer by a
    factor of (1 − b1) / √(1 − b2), about 3 with the usual values.
    """

    def init(params: optax.Params) -> BertAdamState:
        return BertAdamState(optax.tree.zeros_like(params), optax.tree.zeros_like(params))

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        del params
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, b2, 2)
        return jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + eps), mu, nu), BertAdamState(mu, nu)

    return optax.GradientTransformation(init, update)
