"""The best evaluation of a run, by one of its held-out scores."""

import dataclasses
import math
from collections.abc import Iterable, Mapping

from bert_jax.errors import ConfigError, did_you_mean
from bert_jax.scores import Score
from bert_jax.training.config import EvalConfig


@dataclasses.dataclass(frozen=True)
class Best:
    """The best evaluation so far. Each checkpoint stores it as of its step, so a resumed run counts on from there.

    Attributes:
      by: the name of the score, logged as `eval/BY`.
      lower_is_better: True for losses.
      step: the step of the best evaluation; None if no score was finite yet.
      value: its score.
      evaluations_since: the evaluations after that step; all of them if there is none.
    """

    by: str
    lower_is_better: bool
    step: int | None = None
    value: float | None = None
    evaluations_since: int = 0

    @classmethod
    def of_run(cls, config: EvalConfig, scores: Iterable[Score]) -> "Best | None":
        """Returns that of a new run; None if `config.best_by` is empty or not chosen yet.

        Args:
          config: `best_by` names the score.
          scores: the scores of the run.

        Raises:
          ConfigError: there is no such score.
        """
        if not config.best_by:
            return None
        known = {score.name: score for score in scores}
        if config.best_by not in known:
            raise ConfigError(
                f"eval.best_by={config.best_by!r} is not a score of this run, which has {', '.join(known)}: choose one"
                f" of them.{did_you_mean(config.best_by, known)}"
            )
        return cls(config.best_by, known[config.best_by].lower_is_better)

    def after(self, step: int, values: Mapping[str, float]) -> "Best":
        """Returns the best evaluation after another one; of equal scores the earlier stays the best.

        Args:
          step: the step of that evaluation.
          values: its values, under their names in the log. A score that is missing or not finite is never the best.
        """
        value = values.get(f"eval/{self.by}")
        if value is None or not math.isfinite(value) or not self._is_better(value):
            return dataclasses.replace(self, evaluations_since=self.evaluations_since + 1)
        return dataclasses.replace(self, step=step, value=float(value), evaluations_since=0)

    def _is_better(self, value: float) -> bool:
        if self.value is None:
            return True
        return value < self.value if self.lower_is_better else value > self.value

    def ends_run(self, patience: int | None) -> bool:
        """Returns whether so many evaluations in a row were no better (`EvalConfig.patience`)."""
        return patience is not None and self.evaluations_since >= patience

    def describe_end(self, step: int, num_steps: int) -> str:
        """Says where and why a run ended."""
        count = f"{self.evaluations_since} evaluation{'s' if self.evaluations_since > 1 else ''}"
        return f"stopped early after step {step:,} of {num_steps:,}: no better {self.by} in {count}"
