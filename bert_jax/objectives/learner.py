"""An encoder with its objectives: parameters, loss function, FLOPs and scores.

All tasks share one loss function; they differ in their objectives and batches.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from bert_jax import batch as schema
from bert_jax.batch import Batch, Column
from bert_jax.losses import Outcome
from bert_jax.model.composite import Composite, layer_of
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import token_keys
from bert_jax.model.flops import body_flops
from bert_jax.objectives.objective import Objective
from bert_jax.scores import Score
from bert_jax.training.step import Randomness


@dataclasses.dataclass(frozen=True)
class Learner:
    """The implementation of `training.task.Learner`.

    Attributes:
      config: config of the body, with the vocabulary size filled in.
      objectives: one or more; their losses are added up.
    """

    config: ModelConfig
    objectives: tuple[Objective, ...]

    @functools.cached_property
    def model(self) -> Composite:
        """The body with one head per objective, named after it."""
        return Composite(self.config, tuple((one.name, one.head(self.config)) for one in self.objectives))

    @property
    def columns(self) -> dict[str, Column]:
        """The columns that a batch must have."""
        found = dict(schema.CORE)
        for objective in self.objectives:
            found |= objective.columns
        return found

    def check(self, batch: Batch) -> None:
        """Checks a host batch; see `batch.check`."""
        vocab_size = self.config.vocab_size
        assert vocab_size is not None  # the task has filled it in
        schema.check(batch, self.columns, {"V": vocab_size, "T": max(2, self.config.num_token_types)})

    def init(self, key: jax.Array) -> Any:
        """Returns initial parameters, boxed with their logical axes."""
        one: dict[str, int] = dict.fromkeys("BSNKC", 1)
        return self.model.init(key, schema.zeros(self.columns, one))["params"]

    def predict(
        self, params: Any, batch: Batch, dropout_keys: jax.Array | None = None, draw_keys: jax.Array | None = None
    ) -> dict[str, Any]:
        """Returns the prediction of each head, by name; see `Composite`."""
        predictions = self.model.apply({"params": params}, batch, dropout_keys, draw_keys)
        assert isinstance(predictions, dict)  # not a tuple: no collection is mutable
        return predictions

    def loss_fn(self, params: Any, frozen: Any, batch: Batch, randomness: Randomness) -> Outcome:
        """Returns the outcome of all objectives; see `training.step.LossFn`. `frozen` is not used."""
        keys = token_keys(randomness.seed, randomness.step, batch)
        predictions = self.predict(params, batch, keys if randomness.dropout else None, keys)
        outcomes = [one.outcome(predictions[one.name], batch) for one in self.objectives]
        losses, metrics, counts = {}, {}, {}
        for outcome in outcomes:
            losses, metrics, counts = losses | outcome.losses, metrics | outcome.metrics, counts | outcome.counts
        return Outcome(losses, metrics, counts)

    def layer_of(self, names: tuple[str, ...]) -> str:
        """Returns the layer under which a parameter's gradient is reported, given the names on its path."""
        return layer_of(names)

    def flops(self, batch: Batch) -> float:
        """Returns the floating-point operations of one training step on a host batch, counting real tokens only."""
        return body_flops(self.config, batch) + sum(one.flops(self.config, batch) for one in self.objectives)

    @property
    def dtype(self) -> str:
        """The dtype of matrix products."""
        return self.config.dtype

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores of all objectives."""
        return tuple(score for one in self.objectives for score in one.scores)

    def score(self, outcome: Outcome) -> dict[str, float]:
        """Returns all losses, metrics and scores, given the sum of the held-out batches' outcomes (host arrays)."""
        found = {name: float(value) for name, value in outcome.means.items()}
        counts = {name: np.asarray(value) for name, value in outcome.counts.items()}
        for one in self.objectives:
            found |= one.count_scores(counts)
        return found

    def baselines(self, held_out: Sequence[Batch]) -> dict[str, float]:
        """Returns the baselines of the scores, by name."""
        return {name: value for one in self.objectives for name, value in one.baselines(held_out).items()}
