"""Finds bad steps, whose numbers are not finite or whose gradient is a spike, without waiting for each step."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax

from bert_jax.errors import BertJaxError
from bert_jax.training.config import TrainConfig
from bert_jax.training.step import GRAD_NORM_BY_LAYER

ADVICE = "start a new workdir with a lower optimizer.learning_rate, or see docs/failures.md."
MOST_UNREAD = 200  # steps, each with an array on the device for every metric
READ = ("loss", "grad_norm", "recent_grad_norm", "skipped_in_row")  # the last two: with a guard, see `optim/guard.py`


class TrainingError(BertJaxError):
    """Raised when a run cannot continue."""


class BadStepError(BertJaxError):
    """Raised at a bad step for which the run is to be rewound.

    Attributes:
      step: the bad step, counted as in the logs.
      why: what is wrong with it.
    """

    def __init__(self, step: int, why: str):
        super().__init__(f"{why} at step {step}")
        self.step, self.why = step, why


class Watch:
    """Keeps the metrics of each step on the device until `check` reads some of them.

    Args:
      config: says what follows a bad step.
      tell: is called with each step that was passed over, and why.
    """

    def __init__(self, config: TrainConfig, tell: Callable[[int, str], None] = lambda step, why: None):
        self._config, self._tell = config, tell
        self._unread: list[tuple[int, Mapping[str, jax.Array]]] = []

    def add(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Adds the metrics of the step after the one added last."""
        self._unread.append((step, metrics))
        if len(self._unread) > MOST_UNREAD:  # few of them are still computed
            self.check(step - MOST_UNREAD // 2)

    def wait(self, under_way: int) -> None:
        """Blocks until fewer steps than these are under way."""
        if len(self._unread) >= under_way:
            jax.block_until_ready(self._unread[-under_way][1]["loss"])

    def check(self, step: int) -> None:
        """Checks all steps up to this one.

        Raises:
          TrainingError: a step is bad, and the run is to end there; names the first one.
          BadStepError: a step is bad, and the run is to be rewound.
        """
        found = [(at, metrics) for at, metrics in self._unread if at <= step]
        self._unread = self._unread[len(found) :]
        read = jax.device_get([{name: metrics[name] for name in READ if name in metrics} for _, metrics in found])
        for (at, metrics), values in zip(found, read, strict=True):
            finite = math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])
            in_row = int(values.get("skipped_in_row", not finite))
            if in_row:
                self._judge(at, in_row, _describe(values, metrics, finite), finite)

    def _judge(self, step: int, in_row: int, why: str, finite: bool) -> None:
        config = self._config
        if config.on_bad_step == "rewind":
            raise BadStepError(step, why)
        if config.on_bad_step == "stop":
            kind = "a spike" if finite else "not finite"
            advice = f"to go on after such steps, train with train.on_bad_step=skip, or {ADVICE}" if finite else ADVICE
            raise TrainingError(f"{why} at step {step}, the first that is {kind}: {advice}")
        if in_row > config.max_bad_steps:
            raise TrainingError(
                f"{why} at step {step}, after {in_row - 1} others that were passed over"
                f" (train.max_bad_steps={config.max_bad_steps}): {ADVICE}"
            )
        self._tell(step, why)


def _describe(values: Mapping[str, Any], metrics: Mapping[str, jax.Array], finite: bool) -> str:
    text = f"The loss is {float(values['loss'])} and the gradient norm {float(values['grad_norm'])}{_layers(metrics)}"
    return f"{text} (recently {float(values['recent_grad_norm']):.3g} on average)" if finite else text


def _layers(metrics: Mapping[str, jax.Array]) -> str:
    norms = {name: float(norm) for name, norm in metrics.items() if name.startswith(GRAD_NORM_BY_LAYER)}
    layers = [name.removeprefix(GRAD_NORM_BY_LAYER) for name, norm in norms.items() if not math.isfinite(norm)]
    return f" (not finite in {', '.join(layers)})" if layers else ""


def check_scores(step: int, scores: Mapping[str, float]) -> None:
    """Checks the scores of an evaluation.

    Raises:
      TrainingError: one is not finite.
    """
    wrong = [f"{name} is {value}" for name, value in scores.items() if not math.isfinite(value)]
    if wrong:
        raise TrainingError(f"After step {step}, {', '.join(wrong)}: {ADVICE}")
