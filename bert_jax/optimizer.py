"""AdamW, BERT's own Adam and LAMB, with clipping and decoupled weight decay; from optax wherever it has them."""

import dataclasses
import math

import jax
import optax

from bert_jax.bert_adam import scale_by_bert_adam
from bert_jax.errors import choice_problem
from bert_jax.lamb import scale_by_trust_ratios
from bert_jax.schedules import ScheduleConfig, make_schedule

__all__ = ["OPTIMIZERS", "OptimizerConfig", "decays", "make_optimizer", "make_schedule"]

OPTIMIZERS = ("adamw", "bert_adam", "lamb")


@dataclasses.dataclass
class OptimizerConfig(ScheduleConfig):
    """The optimiser, and its learning rate over the run.

    `adamw` is that of Loshchilov & Hutter (2019), `bert_adam` that of BERT's released code (Devlin et al. 2018), `lamb`
    that of You et al. (2020).
    """

    name: str = "adamw"  # adamw; bert_adam: without bias correction; lamb: each matrix' step in proportion to its norm
    b1: float = 0.9  # share of the mean of gradients that a step keeps
    b2: float = 0.999  # share of the mean of squared gradients that a step keeps
    epsilon: float = 1e-6  # added to the root of that mean
    weight_decay: float = 0.01  # share of a weight that is lost in a step of rate 1; layer norms and biases lose none
    clip_norm: float = 1.0  # gradients of a larger global norm are scaled down to it; 0: never

    def problems(self) -> list[str]:
        """Sentences about what cannot work."""
        found = super().problems()
        found += choice_problem("optimizer.name", self.name, OPTIMIZERS)
        for name in ("b1", "b2"):
            if not 0 <= getattr(self, name) < 1:
                found.append(f"optimizer.{name}={getattr(self, name)} must be at least 0 and below 1.")
        if not 0 < self.epsilon < math.inf:
            # With 0, a weight that never had a gradient would get 0 / 0.
            found.append(f"optimizer.epsilon={self.epsilon} must be above 0, and finite.")
        for name in ("weight_decay", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                found.append(f"optimizer.{name}={getattr(self, name)} must be at least 0, and finite.")
        return found


def decays(params) -> dict:
    """True for the arrays that weight decay and trust ratios apply to: all but biases and layer norms."""

    def one(path, _) -> bool:
        # The last dictionary key: behind it comes the box that holds the array's axis names, while there is one.
        return [part.key for part in path if isinstance(part, jax.tree_util.DictKey)][-1] not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(one, params)


def make_optimizer(config: OptimizerConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Clipping by the global norm, then the optimiser.

    With rate r, weights w, decay d and Adam's direction a = m / (√v + epsilon), the weights become
      adamw:     w − r · (a + d · w), m and v divided by 1 − b1^t and 1 − b2^t;
      bert_adam: the same, m and v as they are;
      lamb:      w − r · ‖w‖ / ‖u‖ · u for u = a + d · w as in adamw, with ‖·‖ over each weight matrix.
    Biases and layer norms have d = 0, and no ‖w‖ / ‖u‖.
    """
    # Gradients are those of the whole global batch here. BERT's code clips on each replica, before they are averaged,
    # so its result depends on the number of replicas; NVIDIA's clips after, as here. You et al. do not clip.
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    adam = scale_by_bert_adam if config.name == "bert_adam" else optax.scale_by_adam
    parts = [adam(config.b1, config.b2, config.epsilon), optax.add_decayed_weights(config.weight_decay, decays)]
    if config.name == "lamb":
        parts.append(optax.masked(scale_by_trust_ratios(), decays))
    # Means and their step count, by which Adam corrects their bias, go on over phases. NVIDIA's code keeps the means
    # but counts from 0 again in its second phase, so that the first steps there divide old means by 1 − b1.
    parts.append(optax.scale_by_learning_rate(schedule))
    # For adamw this is `optax.adamw`, state and all.
    return optax.chain(clip, optax.chain(*parts))
