"""The training step and the evaluation step: pure functions of (state, batch)."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from bert_jax.batch import Batch
from bert_jax.losses import Outcome, WeightedSum
from bert_jax.optim.guard import guard_metrics
from bert_jax.optim.optimizer import trained
from bert_jax.training.state import TrainState


@flax.struct.dataclass
class Randomness:
    """The source of a loss function's randomness, in training and in evaluation.

    Attributes:
      seed: uint32 [].
      step: int32 [], the step of the run.
      dropout: whether dropout is applied.
    """

    seed: jax.Array
    step: jax.Array
    dropout: bool = flax.struct.field(pytree_node=False)


# (parameters, frozen arrays or None, batch, randomness) -> losses and metrics.
LossFn = Callable[[Any, Any, Batch, Randomness], Outcome]
# The same, with what else is needed to score the predictions: a tree of arrays [B, …].
EvalFn = Callable[[Any, Any, Batch, Randomness], tuple[Outcome, Any]]
# (state, frozen, batch) -> (next state, metrics).
TrainStep = Callable[[TrainState, Any, Batch], tuple[TrainState, dict[str, jax.Array]]]
# (parameters, frozen, batch) -> an outcome to sum over batches, and arrays to put together.
EvalStep = Callable[[Any, Any, Batch], tuple[Outcome, Any]]
GRAD_NORM_BY_LAYER = "grad_norm/"  # prefix of the per-layer metrics


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    layer_of: Callable[[tuple[str, ...]], str],
    microbatches: int = 1,
    group_rows: int = 1,
    freeze: str = "",
) -> TrainStep:
    """Returns the function (state, frozen, batch) -> (state, metrics), for `jax.jit` with the state donated.

    Args:
      loss_fn: the loss function of the task.
      optimizer: computes the updates.
      schedule: the learning rate, for the metrics.
      layer_of: maps the names on a parameter's path to the layer under which its gradient is reported.
      microbatches: number of microbatches for gradient accumulation. They run one after the other and their gradients
        are summed. This takes less memory; the step is the same up to float32 rounding.
      group_rows: rows that stay together in a microbatch.
      freeze: a regular expression; parameters whose names contain a match get no gradient.
    """

    update = optax.with_extra_args_support(optimizer).update  # a guard needs the loss

    def train_step(state: TrainState, frozen: Any, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        randomness = Randomness(state.seed, state.step, dropout=True)
        # The denominators are the whole batch's. They do not depend on the parameters: this pass is not computed.
        whole = loss_fn(state.params, frozen, batch, randomness).losses

        # Frozen parameters are constants of the loss, so their gradients take no memory, not even as zeros.
        changes = trained(state.params, freeze)
        learned = jax.tree.map(lambda change, leaf: leaf if change else None, changes, state.params)

        def loss(learned, part: Batch):
            params = jax.tree.map(lambda change, *both: both[not change], changes, learned, state.params)
            outcome = loss_fn(params, frozen, part, randomness)
            terms = [
                one.coefficient * WeightedSum(one.sum.total, whole[name].sum.weight).mean
                for name, one in outcome.losses.items()
            ]
            return sum(terms), outcome

        gradient = jax.value_and_grad(loss, has_aux=True)

        def add(sums, part: Batch):
            return jax.tree.map(jnp.add, sums, gradient(learned, part)), None

        if microbatches == 1:
            (total, outcome), grads = gradient(learned, batch)
        else:
            divided = divide(batch, microbatches, group_rows)
            first = jax.eval_shape(gradient, learned, jax.tree.map(lambda x: x[0], divided))
            zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)
            ((total, outcome), grads), _ = jax.lax.scan(add, zeros, divided)
        grads = jax.tree.map(
            lambda change, grad, leaf: grad if change else jnp.zeros_like(leaf), changes, grads, state.params
        )
        updates, opt_state = update(grads, state.opt_state, state.params, value=total)
        metrics = outcome.means | {
            "loss": total,
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": schedule(state.step),
        }
        metrics |= guard_metrics(opt_state)
        metrics |= {GRAD_NORM_BY_LAYER + layer: norm for layer, norm in grad_norms_by_layer(grads, layer_of).items()}
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state, state.seed), metrics

    return train_step


def grad_norms_by_layer(grads: Any, layer_of: Callable[[tuple[str, ...]], str]) -> dict[str, jax.Array]:
    """Computes the gradient norm of each layer, float32 [], in tree order."""
    layers: dict[str, list[jax.Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        layers.setdefault(layer_of(tuple(part.key for part in path)), []).append(leaf)
    return {layer: optax.tree.norm(leaves) for layer, leaves in layers.items()}


def divide(batch: Batch, microbatches: int, group_rows: int) -> Batch:
    """Reshapes arrays [B, …] to [M, B / M, …], dealing out row groups in turn so that each device keeps its rows."""

    def one(x: jax.Array) -> jax.Array:
        by_group = x.reshape(-1, microbatches, group_rows, *x.shape[1:])
        return jnp.moveaxis(by_group, 1, 0).reshape(microbatches, -1, *x.shape[1:])

    return jax.tree.map(one, batch)


def make_eval_step(eval_fn: EvalFn, seed: int) -> EvalStep:
    """Returns the function (params, frozen, batch) -> (outcome, decoded), without dropout."""

    def eval_step(params: Any, frozen: Any, batch: Batch) -> tuple[Outcome, Any]:
        return eval_fn(params, frozen, batch, Randomness(jnp.uint32(seed), jnp.int32(0), dropout=False))

    return eval_step
