"""The loop that runs any task: steps, logging, evaluation, checkpoints, an orderly stop."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax

from bert_jax.errors import BertJaxError
from bert_jax.training.checkpoints import Checkpoints
from bert_jax.training.metrics import MetricWriter
from bert_jax.training.progress import Progress
from bert_jax.training.state import TrainState


class TrainingError(BertJaxError):
    """A run that cannot go on."""


@dataclasses.dataclass
class TrainConfig:
    """How long, how much at once, and what is written when."""

    num_steps: int | None = None  # steps of the whole run; none: as many as time_budget allows
    time_budget: float | None = None  # seconds; chooses num_steps once, from the speed measured at the start
    batch_size: int = 256  # B, rows of a step over all devices
    accumulation: int = 1  # parts that a batch is gone through in, one after the other: less memory, the same step
    seed: int = 0  # of parameters, dropout, pairs, masks and order
    log_every: int = 100  # steps
    checkpoint_every: int = 1000  # steps
    keep_checkpoints: int = 3  # the latest; older ones are deleted
    stop_after: int | None = None  # stop in good order after this step, as a preemption would; the same command goes on

    def problems(self) -> list[str]:
        """Sentences about what cannot work."""
        found = []
        if (self.num_steps is None) == (self.time_budget is None):
            found.append("Give one of train.num_steps and train.time_budget, and set the other to none.")
        positive = ("num_steps", "time_budget", "batch_size", "accumulation")
        for name in (*positive, "log_every", "checkpoint_every", "keep_checkpoints"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                found.append(f"train.{name}={value} must be above 0.")
        if not 0 <= self.seed < 2**31:
            found.append(f"train.seed={self.seed} must lie between 0 and 2**31.")
        return found


@dataclasses.dataclass
class EvalConfig:
    """The fixed held-out set and when it is scored."""

    every: int = 1000  # steps; also after the last one
    num_targets: int = 20_000  # masked tokens at least
    mask_rate: float = 0.15  # share of tokens to predict; of its own, so that runs of any data.mask_rate compare
    seed: int = 0  # of its pairs and masks; the same for runs that are to be compared

    def problems(self) -> list[str]:
        """Sentences about what cannot work."""
        return [
            f"eval.{name}={getattr(self, name)} must be above 0."
            for name in ("every", "num_targets", "mask_rate")
            if getattr(self, name) <= 0
        ]


@dataclasses.dataclass
class Meter:
    """Speed since it was last read, over time that was spent on training."""

    waited: Callable[[], float]
    began: float = dataclasses.field(default_factory=time.perf_counter)
    tokens: int = 0
    waited_before: float = 0.0

    def read(self) -> dict[str, float]:
        seconds, waited = time.perf_counter() - self.began, self.waited()
        values = {
            "train/tokens_per_second": self.tokens / seconds,
            "train/data_wait": (waited - self.waited_before) / seconds,
        }
        self.began, self.tokens, self.waited_before = time.perf_counter(), 0, waited
        return values

    def pause(self, seconds: float) -> None:
        """Leaves out time spent on something else."""
        self.began += seconds


def run(
    state: TrainState,
    step_fn: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]],
    batches: Iterable[tuple[Any, int]],
    *,
    start: int,
    num_steps: int,
    config: TrainConfig,
    evaluate: Callable[[TrainState], dict[str, float]],
    eval_every: int,
    checkpoints: Checkpoints,
    writer: MetricWriter,
    progress: Progress,
    waited: Callable[[], float],
    facts: Callable[[int], dict[str, float]],
    should_stop: Callable[[], bool],
) -> TrainState:
    """Trains from step `start` on; returns early when told to stop, with a checkpoint written.

    Args:
      batches: (batch on the devices, its number of real tokens) for each step from `start` on.
      waited: seconds spent waiting for `batches` so far.
      facts: what else is to be logged after so many steps.

    Raises:
      TrainingError: the loss or the gradient is not finite; nothing of that step is saved.
    """
    meter = Meter(waited)
    pending: tuple[int, dict[str, jax.Array]] | None = None

    def log() -> None:
        # Read one step late, when the device already has its next work.
        nonlocal pending
        if pending is not None:
            step, metrics = pending
            pending = None
            values = _finite(step, metrics) | meter.read() | facts(step)
            writer.write(step, values)
            progress.show(step, values)

    for step, (batch, num_tokens) in enumerate(batches, start + 1):
        state, metrics = step_fn(state, batch)
        log()
        meter.tokens += num_tokens
        last = step == num_steps
        stopping = step == config.stop_after or should_stop()
        if last or step % config.log_every == 0:
            pending = step, metrics
        if last or stopping or step % eval_every == 0 or step % config.checkpoint_every == 0:
            # Lines up to here are written before a checkpoint of this step can exist.
            log()
            _finite(step, metrics)
            began = time.perf_counter()
            if last or step % eval_every == 0:
                values = evaluate(state)
                writer.write(step, values)
                progress.note(f"step {step:,}  " + "  ".join(f"{k} {v:.3f}" for k, v in values.items()))
            if last or stopping or step % config.checkpoint_every == 0:
                checkpoints.save(step, state)
            meter.pause(time.perf_counter() - began)
        if stopping:
            break
    checkpoints.wait()
    return state


def _finite(step: int, metrics: dict[str, jax.Array]) -> dict[str, float]:
    """The metrics on the host, under the names they are logged by."""
    values = {f"train/{name}": float(value) for name, value in jax.device_get(metrics).items()}
    if not (math.isfinite(values["train/loss"]) and math.isfinite(values["train/grad_norm"])):
        raise TrainingError(
            f"The loss is {values['train/loss']} and the gradient norm {values['train/grad_norm']} at step {step}:"
            f" start a new workdir with a lower optimizer.learning_rate."
        )
    return values
