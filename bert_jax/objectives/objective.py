"""The interface of an objective: what is predicted and how it is scored. Each objective is one file."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from bert_jax.batch import Batch, Column
from bert_jax.losses import Outcome
from bert_jax.model.composite import MakeHead
from bert_jax.model.config import ModelConfig
from bert_jax.scores import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective(abc.ABC):
    """Something to predict.

    Attributes:
      name: the name of its head's parameters, and the prefix of its metrics.
      coefficient: the weight of its loss in the sum that is minimised.
    """

    name: str
    coefficient: float = 1.0

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What is learned, as shown in reports: `next-sentence prediction`."""

    @property
    @abc.abstractmethod
    def columns(self) -> dict[str, Column]:
        """The columns it needs in a batch besides the core ones."""

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of axes in `columns` that no core column has, such as C."""
        return {}

    @abc.abstractmethod
    def head(self, config: ModelConfig) -> MakeHead:
        """Returns a function that makes its head, which maps the body's output to a prediction; see `model.heads`."""

    @abc.abstractmethod
    def outcome(self, prediction: Any, batch: Batch) -> Outcome:
        """Computes its losses and metrics for a batch, under full names such as `mlm_loss`."""

    def decode(self, prediction: Any, batch: Batch) -> dict[str, jax.Array]:
        """Computes what `judge` needs of a prediction: arrays [B, …], as small as can be. Nothing by default."""
        return {}

    @property
    @abc.abstractmethod
    def scores(self) -> tuple[Score, ...]:
        """The scores that a report shows, in order; the first is the one that `eval.best_by=none` stands for."""

    def judge(self, decoded: Mapping[str, np.ndarray], held_out: Batch) -> dict[str, float]:
        """Computes the scores that are not means, such as F1, on the host. A score that is undefined is left out.

        Args:
          decoded: what `decode` returns, for all rows of the held-out set.
          held_out: its rows.
        """
        return {}

    def calibrated(self, scores: Mapping[str, float]) -> "Objective":
        """Returns itself with what a checkpoint's held-out scores decide, such as a threshold; nothing by default.

        Args:
          scores: what `judge` returned at the step of the checkpoint, and other scores, by name.
        """
        return self

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """Computes the baselines of its scores on the rows of the held-out set, by the names in `Score.baseline`.

        A run is refused if one of them is perfect, because then its score shows nothing.
        """
        return {}

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        """Returns the floating-point operations of its head in one training step on a host batch."""
        return 0.0
