"""An encoder with its objectives: parameters, loss function, FLOPs and scores.

All tasks share one loss function; they differ in their objectives and batches.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from bert_jax import batch as schema
from bert_jax.batch import Batch, Column
from bert_jax.errors import BertJaxError
from bert_jax.losses import Outcome
from bert_jax.model.bert import Bert
from bert_jax.model.composite import Composite, layer_of
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import token_keys
from bert_jax.model.flops import body_flops, pooler_flops
from bert_jax.model.pooling import mean_pool
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

    def __post_init__(self):
        names = [one.name for one in self.objectives]
        if twice := {name for name in names if names.count(name) > 1}:
            raise BertJaxError(f"Several objectives are named {', '.join(sorted(twice))}: give each a name of its own.")

    @functools.cached_property
    def model(self) -> Composite:
        """The body with one head per objective, named after it."""
        return Composite(self.config, tuple((one.name, one.head(self.config)) for one in self.objectives))

    @property
    def phase_starts(self) -> tuple[int, ...]:
        """The steps at which the phases of `ModelConfig.phases` begin."""
        return self.config.phase_starts

    def at(self, step: int) -> "Learner":
        """Returns the learner of a step, counted from 0, with the same parameters."""
        return dataclasses.replace(self, config=self.config.at(step))

    @property
    def columns(self) -> dict[str, Column]:
        """The columns that a batch must have. Where objectives share a column, it has the bound of one that has any."""
        found = dict(schema.CORE)
        for objective in self.objectives:
            for name, column in objective.columns.items():
                if name not in found or column.below is not None:
                    found[name] = column
        return found

    def check(self, batch: Batch) -> None:
        """Checks a host batch for each objective; see `batch.check`."""
        vocab_size = self.config.vocab_size
        assert vocab_size is not None  # the task has filled it in
        known = {"V": vocab_size, "T": max(2, self.config.num_token_types)}
        for objective in self.objectives:
            schema.check(batch, schema.CORE | objective.columns, known | objective.sizes)

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
        return self.eval_fn(params, frozen, batch, randomness)[0]

    def eval_fn(
        self, params: Any, frozen: Any, batch: Batch, randomness: Randomness
    ) -> tuple[Outcome, dict[str, dict[str, jax.Array]]]:
        """Returns the same, and what each objective decodes from its prediction, by name."""
        keys = token_keys(randomness.seed, randomness.step, batch)
        predictions = self.predict(params, batch, keys if randomness.dropout else None, keys)
        losses, metrics, decoded = {}, {}, {}
        for one in self.objectives:
            outcome = one.outcome(predictions[one.name], batch)
            losses, metrics = losses | outcome.losses, metrics | outcome.metrics
            decoded[one.name] = one.decode(predictions[one.name], batch)
        return Outcome(losses, metrics), decoded

    def features(self, params: Any, batch: Batch) -> jax.Array:
        """Returns the mean of each example's last hidden states: float32 [B, N, H], zeros for unused slots."""
        hidden = Bert(self.config).apply({"params": params["bert"]}, batch, method=Bert.encode)
        assert isinstance(hidden, jax.Array)  # not a tuple: no collection is mutable
        return mean_pool(hidden.astype(jnp.float32), batch)

    def layer_of(self, names: tuple[str, ...]) -> str:
        """Returns the layer under which a parameter's gradient is reported, given the names on its path."""
        return layer_of(names)

    def flops(self, batch: Batch) -> float:
        """Returns the floating-point operations of one training step on a host batch, counting real tokens only."""
        pooler = pooler_flops(self.config, batch) if self._has_pooler else 0.0
        heads = sum(one.flops(self.config, batch) for one in self.objectives)
        return body_flops(self.config, batch) + pooler + heads

    @functools.cached_property
    def _has_pooler(self) -> bool:
        """Whether the body has a pooler with a layer of its own, because a head reads pooled examples."""
        return "pooler" in jax.eval_shape(self.init, jax.random.key(0))["bert"]

    @property
    def dtype(self) -> str:
        """The dtype of matrix products."""
        return self.config.dtype

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores of all objectives."""
        return tuple(score for one in self.objectives for score in one.scores)

    def score(self, outcome: Outcome, decoded: Mapping[str, Any], held_out: Batch) -> dict[str, float]:
        """Returns the losses, metrics and scores of the held-out set, from what `eval_fn` returns (host arrays).

        Those of which nothing in the set counts are left out.
        """
        sums = {name: loss.sum for name, loss in outcome.losses.items()} | outcome.metrics
        # What was not counted has no mean: a loss of 0 would look perfect.
        found = {name: float(one.mean) for name, one in sums.items() if one.weight > 0}
        for one in self.objectives:
            found |= one.judge(decoded[one.name], held_out)
        return found

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """Returns the baselines of the scores, by name."""
        return {name: value for one in self.objectives for name, value in one.baselines(held_out).items()}
