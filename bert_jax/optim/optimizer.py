"""AdamW and its kin, LAMB and Muon, with clipping and decoupled weight decay; built from optax wherever possible."""

import dataclasses
import functools
import math
import operator
import re
from typing import Any

import jax
import optax

from bert_jax.errors import ConfigError, choice_problem
from bert_jax.optim import lora
from bert_jax.optim.bert_adam import scale_by_bert_adam
from bert_jax.optim.lamb import scale_by_trust_ratios
from bert_jax.optim.matrices import in_encoder
from bert_jax.optim.muon import DTYPES, scale_by_muon
from bert_jax.optim.parameters import parameter_name, path_names
from bert_jax.optim.rates import LayerOf, scale_by_layer
from bert_jax.optim.schedules import ScheduleConfig, make_schedule
from bert_jax.optim.stable_adam import clip_updates
from bert_jax.optim.widths import scale_by_width

__all__ = ["OPTIMIZERS", "OptimizerConfig", "decays", "make_optimizer", "make_schedule"]

OPTIMIZERS = ("adamw", "stable_adamw", "bert_adam", "lamb", "muon")


@dataclasses.dataclass
class OptimizerConfig(ScheduleConfig):
    """The optimiser, and its learning rate over the run.

    `adamw` is from Loshchilov & Hutter (2019), `stable_adamw` from Wortsman et al. (2023), `bert_adam` from BERT's
    released code (Devlin et al. 2018), `lamb` from You et al. (2020), and `muon` from Jordan et al. (2024), with the
    scale of Liu et al. (2025). `stable_adamw` and `muon` need no clip_norm: their recipes set it to 0.
    """

    # adamw; stable_adamw: smaller steps where gradients outgrow their running mean; bert_adam: no bias correction;
    # lamb: each matrix' step is proportional to its norm; muon: in attention and feed-forward, steps of singular values
    # near 1, elsewhere adamw
    name: str = "adamw"
    b1: float = 0.9  # decay rate of the running mean of gradients
    b2: float = 0.999  # decay rate of the running mean of squared gradients
    epsilon: float = 1e-6  # added to the square root of that mean
    muon_momentum: float = 0.95  # muon: decay rate of the running mean of the gradients of its matrices
    muon_dtype: str = (
        "float32"  # muon: of the products that find its steps: float32, or bfloat16, faster on accelerators
    )
    weight_decay: float = 0.01  # share of a weight lost per step, times the learning rate; not layer norms and biases
    clip_norm: float = 1.0  # gradients with a larger global norm are scaled down to it; 0: never
    layer_decay: float = 1.0  # the rate of each layer of the body, as a share of that of the layer above; 1: all alike
    head_rate: float = 1.0  # the rate of the heads, as a multiple of learning_rate
    # the hidden_size for which learning_rate and initializer_range were chosen: at another one, factors keep them right
    # (µP); none: no factors
    base_width: int | None = None
    # r: learn only an update of this rank for each matrix of attention and feed-forward (LoRA), besides pooler and
    # heads; 0: train all parameters
    lora_rank: int = 0
    lora_alpha: float = 16.0  # with lora_rank: the update is lora_alpha / r · a · b
    # of the running mean of the parameters, which is scored and loaded in place of the last ones: what the mean before
    # a step counts in the mean after it, such as 0.999; 0: no mean
    mean_decay: float = 0.0

    def problems(self) -> list[str]:
        """Returns a message for each setting that cannot work."""
        found = super().problems()
        found += choice_problem("optimizer.name", self.name, OPTIMIZERS)
        found += choice_problem("optimizer.muon_dtype", self.muon_dtype, DTYPES)
        for name in ("b1", "b2", "muon_momentum", "mean_decay"):
            if not 0 <= getattr(self, name) < 1:
                found.append(f"optimizer.{name}={getattr(self, name)} must be at least 0 and below 1.")
        if not 0 < self.epsilon < math.inf:
            # With 0, a weight that has never had a gradient would become 0 / 0.
            found.append(f"optimizer.epsilon={self.epsilon} must be above 0 and finite.")
        for name in ("weight_decay", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                found.append(f"optimizer.{name}={getattr(self, name)} must be at least 0 and finite.")
        if not 0 < self.layer_decay <= 1:
            found.append(f"optimizer.layer_decay={self.layer_decay} must be above 0 and at most 1.")
        for name in ("head_rate", "lora_alpha"):
            if not 0 < getattr(self, name) < math.inf:
                found.append(f"optimizer.{name}={getattr(self, name)} must be above 0 and finite.")
        if self.base_width is not None and self.base_width < 1:
            found.append(f"optimizer.base_width={self.base_width} must be at least 1.")
        if self.base_width and self.name == "lamb":
            # Its steps are in proportion to ‖w‖, whatever factor the update has.
            found.append("optimizer.base_width has no effect on the matrices of optimizer.name=lamb: leave it out.")
        if self.base_width and self.lora_rank:
            found.append("optimizer.base_width has no factors for the adapters of optimizer.lora_rank: leave one out.")
        if self.lora_rank < 0:
            found.append(f"optimizer.lora_rank={self.lora_rank} must not be negative.")
        for name in ("muon_momentum", "muon_dtype"):
            if self.name != "muon" and getattr(self, name) != getattr(OptimizerConfig, name):
                found.append(f"optimizer.{name} has no effect without optimizer.name=muon: leave it out.")
        if self.lora_rank and self.name == "lamb":
            # The step of a matrix is in proportion to its norm, and an adapter's begins at 0.
            found.append("optimizer.lora_rank does not learn with optimizer.name=lamb: use adamw, for example.")
        if self.lora_rank and self.name == "muon":
            found.append(
                "optimizer.lora_rank keeps the matrices as they are that optimizer.name=muon is for: use adamw."
            )
        return found


def decays(params: optax.Params) -> Any:
    """Returns a tree of booleans: whether weight decay and trust ratios apply, as to all but biases and layer norms."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path_names(path)[-1] not in ("bias", "scale"), params)


def make_optimizer(
    config: OptimizerConfig,
    schedule: optax.Schedule,
    freeze: str = "",
    layer_of: LayerOf = "/".join,
) -> optax.GradientTransformation:
    """Makes the optimiser, which first clips gradients by their global norm.

    With learning rate r, weights w, decay d and Adam's direction a = m / (√v + epsilon), the new weights are
      adamw:        w − r · (a + d · w), where m and v are divided by 1 − b1^t and 1 − b2^t;
      stable_adamw: w − r / max(1, RMS) · (a + d · w), the same, where RMS is that of g / √v over each matrix or vector;
      bert_adam:    w − r · (a + d · w), where m and v are not corrected;
      lamb:         w − r · ‖w‖ / ‖u‖ · u, where u = a + d · w as in adamw, and ‖·‖ is the norm of each weight matrix;
      muon:         w − r · (0.2 √max(rows, columns) · O + d · w) for the matrices of attention and feed-forward, where
                    O is m with singular values near 1; adamw for all others.
    Biases and layer norms have d = 0 and no ‖w‖ / ‖u‖. With `layer_decay` and `head_rate`, r depends on the layer; see
    `rates.rate_factors`. With `base_width`, a and O have a factor that depends on the width; see `widths`.

    Args:
      config: chooses the optimiser.
      schedule: the learning rate of each step.
      freeze: a regular expression. Parameters with a name that matches stay as they are and take no memory here; their
        gradients must be zero, as `training.step` makes them.
      layer_of: maps the names on a parameter's path to its layer, for `layer_decay`.
    """
    # Here, gradients are those of the whole global batch. BERT's code clips on each replica before it averages, so its
    # result depends on the number of replicas. NVIDIA's clips after averaging, as here. You et al. do not clip.
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    widths = [scale_by_width(config.base_width, config.name == "muon")] if config.base_width else []
    parts = [_direction(config), *widths, optax.add_decayed_weights(config.weight_decay, decays)]
    if config.name == "stable_adamw":
        parts = [clip_updates(optax.chain(*parts), config.b2, config.epsilon)]
    if config.name == "lamb":
        parts.append(optax.masked(scale_by_trust_ratios(), decays))
    # The means, and the step count that corrects their bias, continue from phase to phase. NVIDIA's code keeps the
    # means but restarts the count in its second phase, so the first steps there divide old means by 1 − b1.
    parts.append(optax.scale_by_learning_rate(schedule))
    # For adamw, this is `optax.adamw`, including its state.
    optimizer = optax.chain(clip, optax.chain(*parts))
    if freeze:
        optimizer = optax.masked(optimizer, functools.partial(trained, freeze=freeze))
    if config.layer_decay == config.head_rate == 1:
        return optimizer
    # Last, where frozen layers are still there to be counted.
    return optax.chain(optimizer, scale_by_layer(layer_of, config.layer_decay, config.head_rate))


def _direction(config: OptimizerConfig) -> optax.GradientTransformation:
    """Makes what replaces the gradient by the direction of the step."""
    adam = scale_by_bert_adam if config.name == "bert_adam" else optax.scale_by_adam
    elementwise = adam(config.b1, config.b2, config.epsilon)
    if config.name != "muon":
        return elementwise

    def others(params: optax.Params) -> Any:
        return jax.tree.map(operator.not_, in_encoder(params))

    matrices = scale_by_muon(config.muon_momentum, config.muon_dtype)
    return optax.chain(optax.masked(matrices, in_encoder), optax.masked(elementwise, others))


def frozen_names(config: OptimizerConfig, freeze: str) -> str:
    """Returns the regular expression of what is not trained: `train.freeze`, and with adapters most of the body."""
    return "|".join(part for part in (freeze, lora.FROZEN if config.lora_rank else "") if part)


def check_freeze(params: optax.Params, freeze: str) -> None:
    """Checks the regular expression `train.freeze` against the names of the parameters.

    Raises:
      ConfigError: it matches no parameter, or all of them.
    """
    changes = jax.tree.leaves(trained(params, freeze)) if freeze else [True, False]
    if all(changes):
        raise ConfigError(
            f"train.freeze={freeze!r} matches no parameter: names are paths such as bert/embeddings/word."
        )
    if not any(changes):
        raise ConfigError(f"train.freeze={freeze!r} matches every parameter: leave some to train.")


def trained(params: optax.Params, freeze: str) -> Any:
    """Returns a tree of booleans: whether each parameter is trained, because the expression does not match its name."""

    def one(path: tuple, _: Any) -> bool:
        return not (freeze and re.search(freeze, parameter_name(path)))

    return jax.tree_util.tree_map_with_path(one, params)
