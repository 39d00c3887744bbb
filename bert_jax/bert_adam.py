"""Adam as in BERT's released code: without bias correction."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class BertAdamState(NamedTuple):
    """Attributes:
    mu: mean of gradients, arrays like the parameters.
    nu: mean of their squares.
    """

    mu: Any
    nu: Any


def scale_by_bert_adam(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Gradients to m / (√v + eps), the means starting from 0 and taken as they are (Devlin et al. 2018).

    Adam's own means (Kingma & Ba 2015) are divided by 1 − b1^t and 1 − b2^t; without that, the first steps are longer,
    1 − b1 over √(1 − b2), about 3 times with the usual values.
    """

    def init(params) -> BertAdamState:
        return BertAdamState(optax.tree.zeros_like(params), optax.tree.zeros_like(params))

    def update(grads, state: BertAdamState, params=None):
        del params
        mu = optax.tree.update_moment(grads, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(grads, state.nu, b2, 2)
        return jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + eps), mu, nu), BertAdamState(mu, nu)

    return optax.GradientTransformation(init, update)
