"""The length of a run that is given in passes over its data, and what follows from the length."""

from typing import Any

from bert_jax.training.config import TrainConfig
from bert_jax.training.task import Stream

EVALUATIONS = 10  # in a run whose `eval.every` is not given
LEAST_INTERVAL = 10  # steps between them


def choose_length(config: TrainConfig, stream: Stream) -> None:
    """Sets `num_steps` if passes over the data give it."""
    if config.num_steps is None and config.num_epochs is not None:
        config.num_steps = max(stream.num_steps(config.num_epochs), config.min_steps)


def complete_evaluation(config: Any, scores: Any, num_steps: int | None) -> None:
    """Fills in `every` and `best_by` of an `EvalConfig` that are None.

    Args:
      config: changed in place.
      scores: those of the run. The first one is what the task is about.
      num_steps: of the run; None while it is not known.
    """
    if config.every is None and num_steps is not None:
        config.every = max(LEAST_INTERVAL, -(-num_steps // EVALUATIONS))
    if config.best_by is None:
        config.best_by = scores[0].name


def describe_length(config: TrainConfig, stream: Stream) -> list[str]:
    """Says in a line that a small data set gets more steps than its passes, if it does."""
    if config.num_epochs is None or config.length != config.min_steps:
        return []
    steps = stream.num_steps(config.num_epochs)
    if steps >= config.length:
        return []
    passes = f"{config.num_epochs:g} epoch{'s are' if config.num_epochs != 1 else ' is'} {steps:,}"
    return [f"steps        {config.length:,}, since the set is small: {passes} (train.min_steps)"]
