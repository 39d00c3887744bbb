"""A running mean of the parameters, which is scored and used in place of the last ones (Polyak & Juditsky 1992).

The mean moves less than the parameters, which jump from side to side of where they are going while the learning rate is
high. GPT-BERT has a decay of 0.999 (Charpentier & Samuel 2024, arXiv 2410.24159).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from bert_jax.optim.guard import GuardState
from bert_jax.optim.optimizer import trained


class MeanState(NamedTuple):
    """Attributes:
    optimizer: the state of the optimiser.
    mean: the mean of each parameter that is trained, float32; `optax.MaskedNode` in place of all others.
    count: int32 [], the steps in it.
    """

    optimizer: Any
    mean: Any
    count: jax.Array


def averaged(optimizer: optax.GradientTransformation, decay: float, freeze: str = "") -> optax.GradientTransformation:
    """Wraps an optimiser: its state also holds the mean of the parameters after each step.

    After t steps, step i counts (1 − decay) · decay^(t − i) / (1 − decay^t): the exponential mean without the bias of
    its beginning, as Kingma & Ba (2015, arXiv 1412.6980) have it for parameters in section 7.2. So the parameters
    before the first step do not count, and the mean after the first step is what that step leads to.

    Args:
      optimizer: computes the updates.
      decay: above 0 and below 1.
      freeze: a regular expression. Parameters with a name that matches are not trained, and have no mean.
    """

    def init(params: optax.Params) -> MeanState:
        mean = jax.tree.map(
            lambda change, leaf: leaf if change else optax.MaskedNode(), trained(params, freeze), params
        )
        return MeanState(optimizer.init(params), mean, jnp.zeros((), jnp.int32))

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, MeanState]:
        changes, inner = optimizer.update(updates, state.optimizer, params)
        count = state.count + 1
        share = (1 - decay) / -jnp.expm1(count * math.log(decay))
        assert params is not None
        after: Any = optax.apply_updates(params, changes)
        mean = jax.tree.map(
            lambda mean, new: mean if _is_frozen(mean) else mean + share * (new - mean),
            state.mean,
            after,
            is_leaf=_is_frozen,
        )
        return changes, MeanState(inner, mean, count)

    return optax.GradientTransformation(init, update)


def mean_params(opt_state: Any, params: Any) -> Any:
    """Returns the mean of the parameters if the state of the optimiser holds one, else the parameters themselves."""
    state = opt_state.inner if isinstance(opt_state, GuardState) else opt_state
    if not isinstance(state, MeanState):
        return params
    return jax.tree.map(lambda mean, leaf: leaf if _is_frozen(mean) else mean, state.mean, params, is_leaf=_is_frozen)


def _is_frozen(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)
