"""The compiled functions of a run."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bert_jax.batch import Batch
from bert_jax.losses import Outcome
from bert_jax.optim import lora, widths
from bert_jax.optim.guard import guarded
from bert_jax.optim.mean import averaged
from bert_jax.optim.optimizer import check_freeze, frozen_names, make_optimizer, make_schedule, trained
from bert_jax.training.state import TrainState, create_state
from bert_jax.training.step import Randomness, make_eval_step, make_train_step
from bert_jax.training.task import Learner, Phase, RunConfig, microbatches

# On TPUs, XLA would compute a sharded gradient in a ring, one slice of the product at a time, and reread the
# activations for each slice: at these widths, 1.4 times the memory traffic of the step (docs/performance.md).
_COMPILER_OPTIONS = {"tpu": {"xla_jf_spmd_threshold_for_windowed_einsum_mib": 1_000_000}}
_RATE = jax.ShapeDtypeStruct((), jnp.float32)


@dataclasses.dataclass(frozen=True)
class Program:
    """The functions of a run on one mesh.

    Attributes:
      make_state: makes the initial state, already sharded; see `create_state`.
      state_shapes: that state as `jax.ShapeDtypeStruct` with shardings.
      frozen: the task's frozen arrays on the mesh, or None.
      trained: a tree of booleans, whether each parameter is trained.
    """

    make_state: Callable[[Mapping[str, jax.Array]], TrainState]
    state_shapes: TrainState
    frozen: Any
    trained: Any
    _phase_of: Callable[[int], int]
    _rate: Any
    _train_step: Any
    _eval_step: Any
    _features: Any
    # On simulated devices: two programs at once can each hold the threads that the collectives of the other wait for.
    _one_at_a_time: bool
    _compiled: dict[Any, jax.stages.Compiled] = dataclasses.field(default_factory=dict)
    _seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def compile_seconds(self) -> float:
        """The seconds spent on compilation so far."""
        return sum(self._seconds)

    def compiled(self, batch: dict[str, Any], step: int = 0) -> jax.stages.Compiled:
        """Returns the training step compiled for a batch of these shapes (arrays or `jax.ShapeDtypeStruct`), cached.

        Args:
          batch: the shapes.
          step: the steps taken before, on which the phase of the model depends.
        """
        return self._compile(self._train_step, (self.state_shapes, _RATE), batch, step)

    def compiled_evaluation(self, batch: dict[str, Any], step: int = 0) -> jax.stages.Compiled:
        """Returns the evaluation step compiled for a batch of these shapes after so many steps, cached."""
        return self._compile(self._eval_step, (self.state_shapes.params,), batch, step)

    def _compile(self, fn: Any, first: tuple[Any, ...], batch: dict[str, Any], step: int) -> jax.stages.Compiled:
        phase = self._phase_of(step)
        key = fn, phase, tuple((name, value.shape) for name, value in batch.items())
        if key not in self._compiled:
            began = time.perf_counter()
            self._compiled[key] = fn.lower(*first, self.frozen, batch, phase).compile()
            self._seconds.append(time.perf_counter() - began)
        return self._compiled[key]

    def train_step(
        self, state: TrainState, batch: dict[str, jax.Array], step: int = 0
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """Takes one training step; `state` is donated. `step` is `state.step`, which need not be waited for."""
        return self._run(self.compiled(batch, step), state, self._rate(state.step), self.frozen, batch)

    def eval_step(self, params: Any, batch: dict[str, jax.Array], step: int = 0) -> tuple[Outcome, Any]:
        """Computes the outcome of a batch without dropout, and what else its scores need; the same in each process."""
        return self._run(self.compiled_evaluation(batch, step), params, self.frozen, batch)

    def features(self, params: Any, batch: dict[str, jax.Array], step: int = 0) -> jax.Array:
        """Computes the features of a batch, float32 [B, N, H], the same in each process."""
        compiled = self._compile(self._features, (self.state_shapes.params,), batch, step)
        return self._run(compiled, params, self.frozen, batch)

    def _run(self, compiled: jax.stages.Compiled, *args: Any) -> Any:
        result = compiled(*args)
        return jax.block_until_ready(result) if self._one_at_a_time else result

    def merge(self, params: Any) -> Any:
        """Returns the parameters of the model itself, with what adapters have learned; see `optim/lora.py`."""
        return jax.jit(lora.merged)(params) if lora.BRANCH in params else params


def make_program(
    learner: Learner,
    config: RunConfig,
    num_steps: int,
    group_rows: int,
    mesh: Mesh,
    frozen: Any = None,
    phases: Sequence[Phase] = (),
) -> Program:
    """Makes the functions of a run of `num_steps`; call them within `jax.set_mesh(mesh)` and `sharding.rules()`.

    The mesh may consist of devices that you do not have: `compiled` then shows what a step would need on them. The
    batches of a ramp, of which `phases` tell, have fewer microbatches if they are smaller.
    """
    schedule, rank = make_schedule(config.optimizer, num_steps), config.optimizer.lora_rank
    freeze = frozen_names(config.optimizer, config.train.freeze)

    def optimizer(schedule: optax.Schedule) -> optax.GradientTransformation:
        own = make_optimizer(config.optimizer, schedule, freeze, learner.layer_of)
        if config.optimizer.mean_decay:
            own = averaged(own, config.optimizer.mean_decay, freeze)
        return guarded(own, config.train.spike_factor) if config.train.guards else own

    def init(key: jax.Array) -> Any:
        params = learner.init(key)
        if config.optimizer.base_width:
            params = widths.rescaled(params, config.optimizer.base_width)
        return lora.with_adapters(params, rank, config.optimizer.lora_alpha, key) if rank else params

    def model(params: Any) -> Any:
        return lora.merged(params) if rank else params

    def features(params: Any, frozen: Any, batch: Batch, phase: int) -> jax.Array:
        return learner.at(phase).features(model(params), batch)

    make_state, shapes = create_state(init, optimizer(schedule), config.train.seed, mesh)
    check_freeze(shapes.params, config.train.freeze)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)

    parts: dict[int, int] = {}  # microbatches, by the rows of a batch
    for phase in phases:
        number = microbatches(phase, config.train.grad_accumulation_steps)
        parts[phase.batch_size] = max(number, parts.get(phase.batch_size, 1))

    def eval_step(params: Any, frozen: Any, batch: Batch, phase: int) -> tuple[Outcome, Any]:
        return make_eval_step(learner.at(phase).eval_fn, config.train.seed)(model(params), frozen, batch)

    def train_step(
        state: TrainState, rate: jax.Array, frozen: Any, batch: Batch, phase: int
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        # The rate is an argument, so that runs which differ in their rates or their length share what is compiled.
        def current(_: jax.typing.ArrayLike) -> jax.Array:
            return rate

        def loss_fn(params: Any, frozen: Any, batch: Batch, randomness: Randomness) -> Outcome:
            return learner.at(phase).loss_fn(model(params), frozen, batch, randomness)

        step = make_train_step(
            loss_fn,
            optimizer(current),
            current,
            lambda names: learner.layer_of(lora.base_path(names)),
            parts.get(len(jax.tree.leaves(batch)[0]), config.train.grad_accumulation_steps),
            group_rows,
            freeze,
        )
        return step(state, frozen, batch)

    return Program(
        make_state=make_state,
        state_shapes=shapes,
        frozen=frozen,
        trained=trained(shapes.params, freeze),
        _one_at_a_time=mesh.size > 1 and mesh.devices.flat[0].platform == "cpu",
        _phase_of=lambda step: max(start for start in learner.phase_starts if start <= step),
        _eval_step=jax.jit(eval_step, static_argnums=3, out_shardings=NamedSharding(mesh, PartitionSpec())),
        _features=jax.jit(features, static_argnums=3, out_shardings=NamedSharding(mesh, PartitionSpec())),
        _rate=jax.jit(lambda step: jnp.asarray(schedule(step), jnp.float32)),
        _train_step=jax.jit(
            train_step,
            donate_argnums=0,
            static_argnums=4,
            out_shardings=(shardings, None),
            compiler_options=_COMPILER_OPTIONS.get(mesh.devices.flat[0].platform),
        ),
    )
