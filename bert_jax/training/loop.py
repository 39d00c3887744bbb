"""The training loop of all tasks: steps, logging, evaluation, checkpoints and a clean stop."""

import collections
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax

from bert_jax.training import processes
from bert_jax.training.best import Best
from bert_jax.training.config import TrainConfig
from bert_jax.training.finite import ADVICE, TrainingError, Watch, check_scores
from bert_jax.training.placed import Work
from bert_jax.training.profile import Profile
from bert_jax.training.progress import Progress
from bert_jax.training.state import TrainState
from bert_jax.training.step import GRAD_NORM_BY_LAYER
from bert_jax.training.watchdog import PATIENT, Watchdog
from bert_jax.training.workdir.checkpoints import Checkpoints
from bert_jax.training.workdir.checksums import NotFiniteError, checksums
from bert_jax.training.workdir.metrics import MetricWriter

# Steps that the devices have before them. More would gain nothing, and the limits of time for a step and for a stop
# would be limits for all of them.
STEPS_UNDER_WAY = 2


@dataclasses.dataclass
class Meter:
    """Measures the training speed since the last reading.

    Attributes:
      waited: returns the total seconds spent waiting for batches.
      compiled: returns the total seconds spent on compilation.
      peak: floating-point operations per second that all devices together reach in matrix products.
    """

    waited: Callable[[], float]
    compiled: Callable[[], float]
    peak: float
    began: float = dataclasses.field(default_factory=time.perf_counter)
    tokens: int = 0
    flops: float = 0.0
    waited_before: float = 0.0

    def add(self, work: Work) -> None:
        """Adds the work of a step."""
        self.tokens += work.tokens
        self.flops += work.flops

    def read(self) -> dict[str, float]:
        """Returns the values to log and resets the meter."""
        seconds, waited = time.perf_counter() - self.began, self.waited()
        values = {
            "train/tokens_per_second": self.tokens / seconds,
            "train/flops_per_second": self.flops / seconds,
            "train/mfu": self.flops / seconds / self.peak,
            "train/data_wait": (waited - self.waited_before) / seconds,
            "train/seconds": seconds,
        }
        self.began, self.tokens, self.flops, self.waited_before = time.perf_counter(), 0, 0.0, waited
        return values

    def pause(self, seconds: float) -> None:
        """Excludes time that was not spent on training."""
        self.began += seconds

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Returns a context whose time does not count."""
        began = time.perf_counter()
        yield
        self.pause(time.perf_counter() - began)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Decides what happens after each step.

    Attributes:
      num_steps: the number of steps of the whole run.
      train: when to log, save and stop.
      eval_every: steps between evaluations.
      patience: evaluations in a row without a better score that end the run; None: it never ends early.
      should_stop: called after each step; True saves a checkpoint and ends the run.
      scores_start: whether to score the held-out set before the first step of the run, too.
    """

    num_steps: int
    train: TrainConfig
    eval_every: int
    patience: int | None
    should_stop: Callable[[], bool]
    scores_start: bool = False

    def evaluates(self, step: int) -> bool:
        """Returns whether to score the held-out set after this step."""
        return step == self.num_steps or step % self.eval_every == 0

    def saves(self, step: int) -> bool:
        """Returns whether to save a checkpoint after this step, even if the run does not stop."""
        return step == self.num_steps or step % self.train.checkpoint_every == 0

    def logs(self, step: int) -> bool:
        """Returns whether to write a log line after this step."""
        return step == self.num_steps or step % self.train.log_every == 0

    def logs_layers(self, step: int) -> bool:
        """Returns whether that log line includes the gradient norm of each layer."""
        return step == self.num_steps or not step // self.train.log_every % self.train.grad_norms_every


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The destinations of a run's results."""

    checkpoints: Checkpoints
    writer: MetricWriter
    progress: Progress
    profile: Profile
    meter: Meter
    watchdog: Watchdog


def run(
    state: TrainState,
    work: Iterable[Work],
    train_step: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]],
    evaluate: Callable[[Any], dict[str, float]],
    epochs: Callable[[int], dict[str, float]],
    schedule: Schedule,
    outputs: Outputs,
    best: Best | None = None,
) -> tuple[TrainState, Best | None]:
    """Trains from `state`. Returns early, after saving a checkpoint, if the schedule says to stop.

    Args:
      state: the state to start from.
      work: the work of each remaining step.
      train_step: (state, batch) -> (state, metrics).
      evaluate: maps parameters to held-out scores, under their names in the log.
      epochs: returns the passes over each source after a number of steps.
      schedule: when to log, evaluate, save and stop.
      outputs: where to write the results.
      best: the best evaluation up to `state`; None: no checkpoint is kept as the best.

    Returns:
      The last state, and the best evaluation up to it.

    Raises:
      TrainingError: the loss, the gradient, the state or a score is not finite. Nothing of that step is saved.
    """
    pending: tuple[int, dict[str, jax.Array]] | None = None
    watch = Watch()
    under_way: collections.deque[jax.Array] = collections.deque()
    compiled_for: set[tuple] = set()
    step, stopping, improved, ended = int(state.step), False, False, False

    def log() -> None:
        # Read one step late, so that the devices already have the next step to work on.
        nonlocal pending
        if pending is not None:
            step, metrics = pending
            pending = None
            watch.check(step)
            values = {f"train/{name}": float(value) for name, value in jax.device_get(metrics).items()}
            values |= outputs.meter.read()
            values |= {f"data/epochs/{name}": passes for name, passes in epochs(step).items()}
            if not schedule.logs_layers(step):
                values = {k: v for k, v in values.items() if not k.startswith(f"train/{GRAD_NORM_BY_LAYER}")}
            outputs.writer.write(step, values)
            outputs.progress.show(step, values)

    def score(step: int) -> dict[str, float]:
        nonlocal best, improved, ended
        began = time.perf_counter()
        outputs.watchdog.doing(f"the evaluation after step {step}", PATIENT)
        values = evaluate(state.params)
        check_scores(step, values)
        timed = values | {"eval/seconds": time.perf_counter() - began}
        outputs.writer.write(step, timed)
        outputs.progress.note(f"step {step:,}  " + "  ".join(f"{k} {v:.3f}" for k, v in timed.items()))
        if best and step:
            best = best.after(step, processes.of_first(values))
            improved, ended = best.step == step, best.ends_run(schedule.patience)
        return values

    def save(step: int, sums: dict[str, int], values: dict[str, float] | None) -> None:
        outputs.writer.check()
        outputs.watchdog.doing(f"the checkpoint of step {step}")
        outputs.checkpoints.save(step, state, sums, best, values, outputs.writer.lines)

    with outputs.meter.paused():
        if schedule.scores_start and step == 0:
            score(0)
        elif step == schedule.num_steps and outputs.checkpoints.lacks_scores:  # an earlier start failed at this
            values = score(step)
            outputs.checkpoints.add_scores(step, best, values, outputs.writer.lines)
    outputs.watchdog.doing(f"the batch of step {step + 1}")
    for step, one in enumerate(work, int(state.step) + 1):
        outputs.profile.before(step)
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(one.batch))
        outputs.watchdog.doing(f"step {step}", 1.0 if shapes in compiled_for else PATIENT)
        compiled_for.add(shapes)
        if len(under_way) == STEPS_UNDER_WAY:
            jax.block_until_ready(under_way.popleft())
        compiled = outputs.meter.compiled()
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            state, metrics = train_step(state, one.batch)
        outputs.meter.pause(outputs.meter.compiled() - compiled)  # at the first step of a phase
        outputs.profile.after(step, metrics)
        watch.add(step, metrics)
        under_way.append(metrics["loss"])
        log()
        outputs.meter.add(one)
        stopping = step == schedule.train.stop_after or schedule.should_stop()
        if schedule.logs(step):
            pending = step, metrics
        if stopping or schedule.evaluates(step) or schedule.saves(step):
            # Write all log lines up to this step before its checkpoint exists.
            log()
            watch.check(step)
            is_last, improved, values = step == schedule.num_steps, False, None
            with outputs.meter.paused():
                sums = _finite_checksums(step, state)
                if is_last:  # before an evaluation that may fail
                    save(step, sums, None)
                    outputs.checkpoints.wait()
                if schedule.evaluates(step):
                    values = score(step)
            if ended and not schedule.logs(step):  # the last step is always logged
                pending = step, metrics
                log()
            with outputs.meter.paused():
                if is_last:
                    outputs.checkpoints.add_scores(step, best, values or {}, outputs.writer.lines)
                elif stopping or ended or improved or schedule.saves(step):
                    save(step, sums, values)
        if stopping or ended:
            break
        outputs.watchdog.doing(f"the batch of step {step + 1}")
    outputs.watchdog.doing(f"the checkpoint of step {step}")
    outputs.checkpoints.wait()
    if best and ended and step < schedule.num_steps:
        outputs.progress.note(best.describe_end(step, schedule.num_steps))
    elif stopping and step < schedule.num_steps:
        outputs.progress.note(f"saved after step {step:,}; the same command resumes")
    return state, best


def _finite_checksums(step: int, state: TrainState) -> dict[str, int]:
    """Returns the checksums of a state that is finite."""
    try:
        return checksums(state)
    except NotFiniteError as error:
        raise TrainingError(
            f"The update of step {step} left numbers that are not finite in {error.where}: {ADVICE}"
        ) from None
