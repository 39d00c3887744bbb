"""The training step and the evaluation step: pure functions of (state, batch)."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from bert_jax.batch import Batch
from bert_jax.losses import Mean
from bert_jax.training.state import TrainState

# Seed and step, from which dropout is drawn; none means evaluation.
Rng = tuple[jax.Array, jax.Array]
# What a task gives: (parameters, batch, rng) to the losses, whose means are added up, and other means to report.
LossFn = Callable[[Any, Batch, Rng | None], tuple[dict[str, Mean], dict[str, Mean]]]


def make_train_step(loss_fn: LossFn, optimizer: optax.GradientTransformation, schedule: optax.Schedule):
    """The function (state, batch) -> (state, metrics), for `jax.jit` with the state donated."""

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        def loss(params):
            losses, others = loss_fn(params, batch, (state.seed, state.step))
            return sum(mean.value for mean in losses.values()), losses | others

        (total, means), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        metrics = {name: mean.value for name, mean in means.items()} | {
            "loss": total,
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": schedule(state.step),
        }
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state, state.seed), metrics

    return train_step


def make_eval_step(loss_fn: LossFn):
    """The function (params, batch) -> means that add up over batches."""

    def eval_step(params, batch: Batch) -> dict[str, Mean]:
        losses, others = loss_fn(params, batch, None)
        return losses | others

    return eval_step
