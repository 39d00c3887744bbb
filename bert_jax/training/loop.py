"""The training loop of all tasks: steps, logging, evaluation, checkpoints and a clean stop."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax

from bert_jax.training import processes
from bert_jax.training.bad_steps import ADVICE, TrainingError, Watch, check_scores
from bert_jax.training.best import Best
from bert_jax.training.config import TrainConfig
from bert_jax.training.meter import Meter
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
      model_phases: the steps at which the model changes other than by training, and is compiled again.
    """

    num_steps: int
    train: TrainConfig
    eval_every: int
    patience: int | None
    should_stop: Callable[[], bool]
    scores_start: bool = False
    model_phases: tuple[int, ...] = (0,)

    def evaluates(self, step: int) -> bool:
        """Returns whether to score the held-out set after this step."""
        return step == self.num_steps or (step > 0 and step % self.eval_every == 0)

    def saves(self, step: int) -> bool:
        """Returns whether to save a checkpoint after this step, even if the run does not stop."""
        return step == self.num_steps or step % self.train.checkpoint_every == 0

    def logs(self, step: int) -> bool:
        """Returns whether to write a log line after this step."""
        # Also where the run may end early: the last step is always logged.
        ends = step == self.num_steps or (self.patience is not None and self.evaluates(step))
        return ends or step % self.train.log_every == 0

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


class Loop:
    """One start of a run.

    Args:
      state: the state to start from.
      train_step: (state, batch, steps taken) -> (state, metrics).
      evaluate: maps parameters and the steps taken to held-out scores, under their names in the log.
      epochs: returns the passes over each source after a number of steps.
      schedule: when to log, evaluate, save and stop.
      watch: looks for bad steps.
      outputs: where to write the results.
      best: the best evaluation up to `state`; None: no checkpoint is kept as the best.

    Attributes:
      state: the state after the last step.
      best: the best evaluation up to it.
    """

    def __init__(
        self,
        state: TrainState,
        train_step: Callable[[TrainState, Any, int], tuple[TrainState, dict[str, jax.Array]]],
        evaluate: Callable[[Any, int], dict[str, float]],
        epochs: Callable[[int], dict[str, float]],
        schedule: Schedule,
        watch: Watch,
        outputs: Outputs,
        best: Best | None = None,
    ):
        self.state, self.best = state, best
        self._train_step, self._evaluate, self._epochs = train_step, evaluate, epochs
        self._schedule, self._watch, self._outputs = schedule, watch, outputs
        self._step = int(state.step)
        self._unlogged: tuple[int, dict[str, jax.Array]] | None = None
        self._compiled_for: set[tuple] = set()

    def run(self, work: Iterable[Work]) -> None:
        """Trains. Returns early, after saving a checkpoint, if the schedule or the scores say so.

        Args:
          work: the work of each remaining step.

        Raises:
          TrainingError: the loss, the gradient, the state or a score is not finite. Of these, only the state before a
            bad score is saved.
          BadStepError: the run is to go back to a checkpoint.
        """
        schedule, outputs = self._schedule, self._outputs
        with outputs.meter.paused():
            self._score_start()
        outputs.watchdog.doing(f"the batch of step {self._step + 1}")
        stopping = hurried = False
        for one in () if self._ended else work:
            metrics = self._train(one)
            self._log()  # one step late, so that the devices already have the next step to work on
            outputs.meter.add(one)
            if schedule.logs(self._step):
                self._unlogged = self._step, metrics
            hurried = self._step != schedule.train.stop_after and schedule.should_stop()
            stopping = hurried or self._step == schedule.train.stop_after
            if stopping or schedule.evaluates(self._step) or schedule.saves(self._step):
                self._log()  # all lines up to this step, before its checkpoint exists
                self._watch.check(self._step)
                with outputs.meter.paused():
                    self._keep(stopping, scores=schedule.evaluates(self._step) and not hurried)
            if stopping or self._ended:
                break
            outputs.watchdog.doing(f"the batch of step {self._step + 1}")
        outputs.watchdog.doing(f"the checkpoint of step {self._step}")
        outputs.checkpoints.wait()
        if self.best and self._ended and self._step < schedule.num_steps:
            outputs.progress.note(self.best.describe_end(self._step, schedule.num_steps))
        elif stopping and self._step < schedule.num_steps:
            outputs.progress.note(f"saved after step {self._step:,}; the same command resumes")
        elif hurried:
            outputs.progress.note(f"saved after the last step, {self._step:,}; the same command scores it")

    @property
    def _ended(self) -> bool:
        return self.best is not None and self.best.ends_run(self._schedule.patience)

    def _train(self, work: Work) -> dict[str, jax.Array]:
        """Takes a step and returns its metrics, which are on the devices."""
        outputs, step = self._outputs, self._step + 1
        outputs.profile.before(step)
        phase = max(start for start in self._schedule.model_phases if start <= self._step)
        shapes = (phase, *(leaf.shape for leaf in jax.tree.leaves(work.batch)))
        outputs.watchdog.doing(f"step {step}", 1.0 if shapes in self._compiled_for else PATIENT)
        self._compiled_for.add(shapes)
        self._watch.wait(STEPS_UNDER_WAY)
        compiled = outputs.meter.compiled()
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            self.state, metrics = self._train_step(self.state, work.batch, self._step)
        outputs.meter.pause(outputs.meter.compiled() - compiled)  # at the first step of a phase
        outputs.profile.after(step, metrics)
        self._watch.add(step, metrics)
        self._step = step
        return metrics

    def _log(self) -> None:
        """Writes the log line that is not written yet, if there is one."""
        if self._unlogged is None:
            return
        (step, metrics), self._unlogged = self._unlogged, None
        self._watch.check(step)
        values = {f"train/{name}": float(value) for name, value in jax.device_get(metrics).items()}
        values |= self._outputs.meter.read()
        values |= {f"data/epochs/{name}": passes for name, passes in self._epochs(step).items()}
        if not self._schedule.logs_layers(step):
            values = {k: v for k, v in values.items() if not k.startswith(f"train/{GRAD_NORM_BY_LAYER}")}
        self._outputs.writer.write(step, values)
        self._outputs.progress.show(step, values)

    def _keep(self, stopping: bool, scores: bool) -> None:
        """Saves the state, scores it, or both: first saves, because an evaluation may fail, or outlast a stop."""
        try:
            sums = checksums(self.state)
        except NotFiniteError as error:
            what = f"The update of step {self._step} left" if self._step else "The run starts from"
            raise TrainingError(f"{what} numbers that are not finite in {error.where}: {ADVICE}") from None
        saves = stopping or self._schedule.saves(self._step)
        if saves:
            self._save(sums, None)
        if not scores:
            return
        values = self._score()
        if saves:
            self._outputs.checkpoints.add_scores(self._step, self.best, values, self._outputs.writer.lines)
        elif self._ended or (self.best and self.best.step == self._step):
            self._save(sums, values)

    def _save(self, sums: dict[str, int], values: dict[str, float] | None) -> None:
        writer = self._outputs.writer
        writer.check()
        self._outputs.watchdog.doing(f"the checkpoint of step {self._step}")
        self._outputs.checkpoints.save(self._step, self.state, sums, self.best, values, writer.lines)

    def _score(self) -> dict[str, float]:
        """Scores the held-out set, and returns what is logged of it."""
        began = time.perf_counter()
        self._outputs.watchdog.doing(f"the evaluation after step {self._step}", PATIENT)
        values = self._evaluate(self.state.scored, self._step)
        check_scores(self._step, values)
        timed = values | {"eval/seconds": time.perf_counter() - began}
        self._outputs.writer.write(self._step, timed)
        self._outputs.progress.note(f"step {self._step:,}  " + "  ".join(f"{k} {v:.3f}" for k, v in timed.items()))
        if self.best and self._step:
            self.best = self.best.after(self._step, processes.of_first(values))
        return values

    def _score_start(self) -> None:
        """Scores the state that the run starts or resumes from, if that is to be done and has not been."""
        checkpoints = self._outputs.checkpoints
        if self._schedule.scores_start and self._step == 0:
            self._score()
        if self._schedule.train.on_bad_step == "rewind" and checkpoints.is_empty:
            self._keep(stopping=True, scores=False)  # to go back to
        elif checkpoints.lacks_scores and self._schedule.evaluates(self._step):
            # The start that saved it was stopped, or failed, before its evaluation.
            values = self._score()
            checkpoints.add_scores(self._step, self.best, values, self._outputs.writer.lines)
