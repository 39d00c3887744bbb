"""Masked language model: masked or replaced words are predicted from their context (Devlin et al. 2018).

`bert_jax.data.masking` chooses the words.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax import losses
from bert_jax.batch import Batch, Column
from bert_jax.losses import Loss, Outcome
from bert_jax.model.composite import MakeHead
from bert_jax.model.config import ModelConfig
from bert_jax.model.flops import FLOPS_PER_WEIGHT
from bert_jax.model.heads import MaskedWordsHead
from bert_jax.objectives.objective import Objective
from bert_jax.scores import Score


@dataclasses.dataclass
class MaskedWordsConfig:
    """The loss of the masked language model."""

    # weight of the square of log Σ exp(logits), which keeps logits from drifting, as in PaLM (Chowdhery et al. 2022);
    # 0: none
    z_loss: float = 0.0

    def problems(self) -> list[str]:
        """Returns a message for each setting that cannot work."""
        if 0 <= self.z_loss < math.inf:
            return []
        return [f"mlm.z_loss={self.z_loss} must be at least 0 and finite."]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedWords(Objective):
    """Cross-entropy over the vocabulary at the masked positions.

    Attributes:
      z_loss: the weight of the square of log Σ exp(logits), a loss of its own; 0: none.
      sources: names of the corpus' sources; if there are several, the loss of each is also reported.
      word_counts: returns int64 [V], the frequency of each word in the training split; None for no baseline.
      never: ids of tokens that are never targets.
    """

    name: str = "mlm"
    z_loss: float = 0.0
    sources: tuple[str, ...] = ()
    word_counts: Callable[[], np.ndarray] | None = None
    never: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        return "masked language model"

    @property
    def columns(self) -> dict[str, Column]:
        columns = {
            "masked_positions": Column("BK", np.int32, "S"),  # row positions to predict; 0 where unused
            "masked_targets": Column("BK", np.int32, "V"),  # the original ids
            "masked_weights": Column("BK", np.float32),  # 1 where used, else 0
        }
        if len(self.sources) > 1:
            columns["source_ids"] = Column("BN", np.int32, len(self.sources))
        return columns

    def head(self, config: ModelConfig) -> MakeHead:
        return lambda name: MaskedWordsHead(config, name=name)

    def outcome(self, prediction: jax.Array, batch: Batch) -> Outcome:
        targets, weights = batch["masked_targets"], batch["masked_weights"]
        values = losses.cross_entropies(prediction, targets)
        metrics = {f"{self.name}_accuracy": losses.weighted_sum(losses.hits(prediction, targets), weights)}
        if len(self.sources) > 1:
            groups = losses.weighted_sums_by_group(values, weights, sources_of_predictions(batch), self.sources)
            metrics |= {f"{self.name}_loss/{source}": one for source, one in groups.items()}
        terms = {f"{self.name}_loss": Loss(losses.weighted_sum(values, weights), self.coefficient)}
        if self.z_loss:
            squares = losses.weighted_sum(jnp.square(jax.nn.logsumexp(prediction, axis=-1)), weights)
            terms[f"{self.name}_z_loss"] = Loss(squares, self.coefficient * self.z_loss)
        return Outcome(terms, metrics)

    @property
    def scores(self) -> tuple[Score, ...]:
        def loss(part: str, where: str) -> Score:
            title, name = f"masked language model{where}, loss in nats", f"{self.name}_loss{part}"
            return Score(name, title, True, f"unigram_{name}", "word frequencies")

        parts = [loss(f"/{source}", f" on {source}") for source in self.sources if len(self.sources) > 1]
        title, name = "masked language model, accuracy", f"{self.name}_accuracy"
        return loss("", ""), Score(name, title, False, f"unigram_{name}", "the most frequent word"), *parts

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """The loss of predicting words by their frequency in training, and the accuracy of its most frequent word."""
        if self.word_counts is None:
            return {}
        used = held_out["masked_weights"] > 0
        p = unigram_probabilities(self.word_counts(), self.never)
        targets = held_out["masked_targets"][used]
        guesses, name = -np.log(p[targets]), f"unigram_{self.name}_loss"
        found = {name: float(guesses.mean()), f"unigram_{self.name}_accuracy": float((targets == p.argmax()).mean())}
        if len(self.sources) > 1:
            sources = np.asarray(sources_of_predictions(held_out))[used]
            for i, source in enumerate(self.sources):
                if (sources == i).any():
                    found[f"{name}/{source}"] = float(guesses[sources == i].mean())
        return found

    def flops(self, config: ModelConfig, batch: Batch) -> float:
        """Counts the transform and the vocabulary projection at the used predictions."""
        assert config.vocab_size is not None  # the task has filled it in
        transform = 0 if config.head_transform == "none" else config.hidden_size**2
        weights = transform + config.hidden_size * config.vocab_size
        return FLOPS_PER_WEIGHT * weights * float(batch["masked_weights"].sum())


def sources_of_predictions(batch: Batch) -> jax.Array:
    """Returns the source of each predicted position [B, K]; arbitrary where unused."""
    slot = jnp.take_along_axis(batch["example_ids"], batch["masked_positions"], axis=1) - 1
    return jnp.take_along_axis(batch["source_ids"], jnp.maximum(slot, 0), axis=1)


def unigram_probabilities(word_counts: np.ndarray, never: tuple[int, ...]) -> np.ndarray:
    """Returns the probability of each word as a target, by its frequency in the training split: float64 [V].

    One is added to each count. Tokens that are never targets have p = 0.
    """
    counts = np.asarray(word_counts, np.float64) + 1
    counts[list(never)] = 0
    return counts / counts.sum()
