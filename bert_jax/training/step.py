"""The training step and the evaluation step: pure functions of (state, batch)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bert_jax.batch import Batch
from bert_jax.losses import Mean
from bert_jax.training.state import TrainState

# Seed and step, from which dropout is drawn; none means evaluation.
Rng = tuple[jax.Array, jax.Array]
# What a task gives: (parameters, batch, rng) to the losses, whose means are added up, and other means to report.
LossFn = Callable[[Any, Batch, Rng | None], tuple[dict[str, Mean], dict[str, Mean]]]
LAYER_NORM = "grad_norm/"  # metrics of this beginning are the layers'


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    layer_of: Callable[[tuple[str, ...]], str],
    parts: int = 1,
    group_rows: int = 1,
):
    """The function (state, batch) -> (state, metrics), for `jax.jit` with the state donated.

    Args:
      loss_fn: of the task.
      optimizer: its updates are applied.
      schedule: reported as the learning rate.
      layer_of: the names on a parameter's path to the layer that its gradient is reported under.
      parts: the batch is gone through in so many parts, one after the other, whose gradients add up: less memory, the
        same step to float32 rounding.
      group_rows: rows that stay together in a part.
    """

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        rng = state.seed, state.step
        # The denominators are the whole batch's. They do not depend on the parameters: this pass is not computed.
        weights = {name: mean.weight for name, mean in loss_fn(state.params, batch, rng)[0].items()}

        def loss(params, part: Batch):
            losses, others = loss_fn(params, part, rng)
            return sum(Mean(mean.total, weights[name]).value for name, mean in losses.items()), losses | others

        gradient = jax.value_and_grad(loss, has_aux=True)

        def add(sums, part: Batch):
            return jax.tree.map(jnp.add, sums, gradient(state.params, part)), None

        if parts == 1:
            (total, means), grads = gradient(state.params, batch)
        else:
            divided = divide(batch, parts, group_rows)
            first = jax.eval_shape(gradient, state.params, jax.tree.map(lambda x: x[0], divided))
            zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)
            ((total, means), grads), _ = jax.lax.scan(add, zeros, divided)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        metrics = {name: mean.value for name, mean in means.items()} | {
            "loss": total,
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": schedule(state.step),
        }
        metrics |= {f"{LAYER_NORM}{layer}": norm for layer, norm in layer_norms(grads, layer_of).items()}
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state, state.seed), metrics

    return train_step


def layer_norms(grads: Any, layer_of: Callable[[tuple[str, ...]], str]) -> dict[str, jax.Array]:
    """The norm of each layer's gradient, float32 [] each, in the order of the tree."""
    layers: dict[str, list[jax.Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        layers.setdefault(layer_of(tuple(part.key for part in path)), []).append(leaf)
    return {layer: optax.tree.norm(leaves) for layer, leaves in layers.items()}


def divide(batch: Batch, parts: int, group_rows: int) -> Batch:
    """Arrays [B, …] to [parts, B / parts, …]: groups of rows in turn, so that each device keeps its own rows."""

    def one(x: jax.Array) -> jax.Array:
        by_group = x.reshape(-1, parts, group_rows, *x.shape[1:])
        return jnp.moveaxis(by_group, 1, 0).reshape(parts, -1, *x.shape[1:])

    return jax.tree.map(one, batch)


def make_eval_step(loss_fn: LossFn):
    """The function (params, batch) -> means that add up over batches."""

    def eval_step(params, batch: Batch) -> dict[str, Mean]:
        losses, others = loss_fn(params, batch, None)
        return losses | others

    return eval_step
