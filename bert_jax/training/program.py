"""A run's compiled functions."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from bert_jax.optimizer import make_optimizer, make_schedule
from bert_jax.training.state import TrainState, create_state
from bert_jax.training.step import LossFn, make_eval_step, make_train_step
from bert_jax.training.task import RunConfig

# Where a gradient is cut over devices, XLA would make it on TPUs in a ring, a slice of the product at a time, and read
# the activations anew for each slice: at these widths 1.4 times the memory traffic of the step (docs/performance.md).
_COMPILER_OPTIONS = {"tpu": {"xla_jf_spmd_threshold_for_windowed_einsum_mib": 1_000_000}}


@dataclasses.dataclass(frozen=True)
class Program:
    """What a run computes, on one mesh.

    Attributes:
      make_state: the initial state, sharded from its first moment.
      state_shapes: that state as `jax.ShapeDtypeStruct` with shardings.
      eval_step: (params, batch) -> `Mean`s, jitted.
    """

    make_state: Callable[[], TrainState]
    state_shapes: TrainState
    eval_step: Callable[[Any, Any], Any]
    _train_step: Any
    _compiled: dict[Any, jax.stages.Compiled] = dataclasses.field(default_factory=dict)

    def compiled(self, batch: dict[str, Any]) -> jax.stages.Compiled:
        """The training step for batches of these shapes, compiled once; they may be `jax.ShapeDtypeStruct`."""
        shapes = tuple((name, value.shape) for name, value in batch.items())
        if shapes not in self._compiled:
            self._compiled[shapes] = self._train_step.lower(self.state_shapes, batch).compile()
        return self._compiled[shapes]

    def train_step(self, state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict[str, jax.Array]]:
        """One step; `state` is donated."""
        return self.compiled(batch)(state, batch)


def make_program(
    init: Callable[[jax.Array], Any],
    loss_fn: LossFn,
    layer_of: Callable[[tuple[str, ...]], str],
    config: RunConfig,
    num_steps: int,
    group_rows: int,
    mesh: Mesh,
) -> Program:
    """The functions of a run of `num_steps`, to be called within `jax.set_mesh(mesh)` and `sharding.rules()`.

    The mesh may be of devices that are not there: then `compiled` tells what the step would take.
    """
    schedule = make_schedule(config.optimizer, num_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    make_state, shapes = create_state(init, optimizer, config.train.seed, mesh)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    step = make_train_step(loss_fn, optimizer, schedule, layer_of, config.train.accumulation, group_rows)
    return Program(
        make_state=make_state,
        state_shapes=shapes,
        eval_step=jax.jit(make_eval_step(loss_fn)),
        _train_step=jax.jit(
            step,
            donate_argnums=0,
            out_shardings=(shardings, None),
            compiler_options=_COMPILER_OPTIONS.get(mesh.devices.flat[0].platform),
        ),
    )
