"""AdamW with warm-up, linear decay and clipping, from optax."""

import dataclasses

import jax
import optax


@dataclasses.dataclass
class OptimizerConfig:
    """AdamW (Loshchilov & Hutter 2019), no decay on layer norms and biases."""

    learning_rate: float = 1e-4  # at the end of warm-up
    warmup_ratio: float = 0.01  # share of all steps over which the rate rises from 0; then it falls to 0 linearly
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    clip_norm: float = 1.0  # gradients of a larger global norm are scaled down to it; 0: never

    def problems(self) -> list[str]:
        """Sentences about what cannot work."""
        found = []
        if not self.learning_rate > 0:
            found.append(f"optimizer.learning_rate={self.learning_rate} must be above 0.")
        if not 0 <= self.warmup_ratio < 1:
            found.append(f"optimizer.warmup_ratio={self.warmup_ratio} must be at least 0 and below 1.")
        for name in ("b1", "b2"):
            if not 0 <= getattr(self, name) < 1:
                found.append(f"optimizer.{name}={getattr(self, name)} must be at least 0 and below 1.")
        for name in ("weight_decay", "clip_norm", "epsilon"):
            if getattr(self, name) < 0:
                found.append(f"optimizer.{name}={getattr(self, name)} must not be negative.")
        return found


def make_schedule(config: OptimizerConfig, num_steps: int) -> optax.Schedule:
    """The learning rate of each step (from 0): up from 0 over the warm-up, then down to 0 at `num_steps`."""
    warmup = round(config.warmup_ratio * num_steps)
    rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
    fall = optax.linear_schedule(config.learning_rate, 0.0, num_steps - warmup)
    return optax.join_schedules([rise, fall], [warmup])


def decays(params) -> dict:
    """True for the arrays that weight decay applies to: all but biases and layer norms."""

    def one(path, _) -> bool:
        # The last dictionary key: behind it comes the box that holds the array's axis names, while there is one.
        return [part.key for part in path if isinstance(part, jax.tree_util.DictKey)][-1] not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(one, params)


def make_optimizer(config: OptimizerConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Clipping by the global norm, then AdamW."""
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    adamw = optax.adamw(
        schedule, b1=config.b1, b2=config.b2, eps=config.epsilon, weight_decay=config.weight_decay, mask=decays
    )
    return optax.chain(clip, adamw)
