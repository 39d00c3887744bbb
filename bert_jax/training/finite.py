"""Finds the step at which the numbers of a run stop being finite, without waiting for each step."""

import math
from collections.abc import Mapping

import jax

from bert_jax.errors import BertJaxError
from bert_jax.training.step import GRAD_NORM_BY_LAYER

ADVICE = "start a new workdir with a lower optimizer.learning_rate, or see docs/failures.md."


MOST_UNREAD = 200  # steps, each with an array on the device for every metric


class TrainingError(BertJaxError):
    """Raised when a run cannot continue."""


class Watch:
    """Keeps the metrics of each step on the device until `check` reads their losses and gradient norms."""

    def __init__(self) -> None:
        self._unread: list[tuple[int, Mapping[str, jax.Array]]] = []

    def add(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Adds the metrics of the step after the one added last."""
        self._unread.append((step, metrics))
        if len(self._unread) > MOST_UNREAD:  # few of them are still computed
            self.check(step - MOST_UNREAD // 2)

    def check(self, step: int) -> None:
        """Checks all steps up to this one.

        Raises:
          TrainingError: the loss or the gradient of a step is not finite; names the first one.
        """
        found = [(at, metrics) for at, metrics in self._unread if at <= step]
        self._unread = self._unread[len(found) :]
        values = jax.device_get([(metrics["loss"], metrics["grad_norm"]) for _, metrics in found])
        for (at, metrics), (loss, norm) in zip(found, values, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise TrainingError(
                    f"The loss is {float(loss)} and the gradient norm {float(norm)}{_layers(metrics)} at step {at},"
                    f" the first that is not finite: {ADVICE}"
                )


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
