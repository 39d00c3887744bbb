"""The loop that runs any task: steps, logging, evaluation, checkpoints, an orderly stop."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax

from bert_jax.errors import BertJaxError
from bert_jax.training.checkpoints import Checkpoints
from bert_jax.training.config import TrainConfig
from bert_jax.training.metrics import MetricWriter
from bert_jax.training.profile import Profile
from bert_jax.training.progress import Progress
from bert_jax.training.state import TrainState
from bert_jax.training.step import LAYER_NORM
from bert_jax.training.task import Work


class TrainingError(BertJaxError):
    """A run that cannot go on."""


@dataclasses.dataclass
class Meter:
    """Speed since it was last read, over time that was spent on training.

    Attributes:
      waited: seconds spent waiting for batches so far.
      peak: floating-point operations a second that all devices together reach in matrix products.
    """

    waited: Callable[[], float]
    peak: float
    began: float = dataclasses.field(default_factory=time.perf_counter)
    tokens: int = 0
    flops: float = 0.0
    waited_before: float = 0.0

    def add(self, work: Work) -> None:
        self.tokens += work.tokens
        self.flops += work.flops

    def read(self) -> dict[str, float]:
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
        """Leaves out time spent on something else."""
        self.began += seconds


def run(
    state: TrainState,
    step_fn: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]],
    work: Iterable[Work],
    *,
    start: int,
    num_steps: int,
    config: TrainConfig,
    evaluate: Callable[[TrainState], dict[str, float]],
    eval_every: int,
    checkpoints: Checkpoints,
    writer: MetricWriter,
    progress: Progress,
    profile: Profile,
    meter: Meter,
    facts: Callable[[int], dict[str, float]],
    should_stop: Callable[[], bool],
) -> TrainState:
    """Trains from step `start` on; returns early when told to stop, with a checkpoint written.

    Args:
      work: of each step from `start` on.
      facts: what else is to be logged after so many steps.

    Raises:
      TrainingError: the loss or the gradient is not finite; nothing of that step is saved.
    """
    pending: tuple[int, dict[str, jax.Array]] | None = None

    def log() -> None:
        # Read one step late, when the device already has its next work.
        nonlocal pending
        if pending is not None:
            step, metrics = pending
            pending = None
            values = _finite(step, metrics) | meter.read() | facts(step)
            if step != num_steps and step // config.log_every % config.layer_norms_every:
                values = {name: value for name, value in values.items() if not name.startswith(f"train/{LAYER_NORM}")}
            writer.write(step, values)
            progress.show(step, values)

    for step, one in enumerate(work, start + 1):
        profile.before(step)
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            state, metrics = step_fn(state, one.batch)
        profile.after(step, metrics)
        log()
        meter.add(one)
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
                values["eval/seconds"] = time.perf_counter() - began
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
        layers = [name for name in values if LAYER_NORM in name and not math.isfinite(values[name])]
        first = f" (not finite in {', '.join(n.removeprefix(f'train/{LAYER_NORM}') for n in layers)})" if layers else ""
        raise TrainingError(
            f"The loss is {values['train/loss']} and the gradient norm {values['train/grad_norm']}{first} at step"
            f" {step}: start a new workdir with a lower optimizer.learning_rate, or see docs/failures.md."
        )
    return values
