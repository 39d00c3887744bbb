"""The start and end of a span in each example: extractive question answering (Devlin et al. 2018)."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from bert_jax import losses
from bert_jax.batch import Batch, Column, real_tokens
from bert_jax.losses import Loss, Outcome
from bert_jax.model.composite import MakeHead
from bert_jax.model.config import ModelConfig
from bert_jax.model.flops import head_flops
from bert_jax.model.heads import SpanLogits, SpansHead
from bert_jax.objectives.objective import Objective
from bert_jax.scores import Score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spans(Objective):
    """The mean of the start's and the end's cross-entropy over an example's own tokens."""

    name: str = "span"

    @property
    def title(self) -> str:
        return "the start and the end of a span"

    @property
    def columns(self) -> dict[str, Column]:
        return {
            "span_starts": Column("BN", np.int32, "S"),  # row position of the span's first token
            "span_ends": Column("BN", np.int32, "S"),  # row position of its last token
            "span_weights": Column("BN", np.float32),  # 1 where there is a span, else 0
        }

    def head(self, config: ModelConfig) -> MakeHead:
        return lambda name: SpansHead(config, name=name)

    def outcome(self, prediction: SpanLogits, batch: Batch) -> Outcome:
        starts, ends, weights = (batch[f"span_{name}"] for name in ("starts", "ends", "weights"))
        values = losses.cross_entropies(prediction.start, starts) + losses.cross_entropies(prediction.end, ends)
        # An example without a span has labels outside of it, whose cross-entropies overflow when added.
        values = jnp.where(weights > 0, values, 0.0)
        right = losses.hits(prediction.start, starts) & losses.hits(prediction.end, ends)
        loss = Loss(losses.weighted_sum(values / 2, weights), self.coefficient)
        return Outcome({f"{self.name}_loss": loss}, {f"{self.name}_accuracy": losses.weighted_sum(right, weights)})

    @property
    def scores(self) -> tuple[Score, ...]:
        title, baseline = f"{self.name}, start and end both right", f"{self.name}_majority"
        exact = Score(f"{self.name}_accuracy", title, False, baseline, "the most frequent place")
        return exact, Score(f"{self.name}_loss", f"{self.name}, loss in nats", True)

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """The accuracy of always giving the place within the example that is the most frequent in the held-out set."""
        counted = held_out["span_weights"] > 0
        ends = np.stack([held_out["span_starts"][counted], held_out["span_ends"][counted]], axis=1)
        _, counts = np.unique(ends - held_out["cls_positions"][counted][:, None], axis=0, return_counts=True)
        return {f"{self.name}_majority": float(counts.max() / counts.sum())} if len(counts) else {}

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        return head_flops(config, real_tokens(batch), 2)
