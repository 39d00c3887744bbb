"""The learning rate over the steps of a run: a linear warm-up, then a decay, possibly in several phases."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import optax

from bert_jax import configuration
from bert_jax.errors import ConfigError, choice_problem

SCHEDULES = ("linear", "polynomial", "cosine", "wsd", "trapezoid")
LATE = ("wsd", "trapezoid")  # these stay at the peak until the last `decay_ratio` of the steps
DECAY_FROM = ("warmup", "start")


@dataclasses.dataclass
class ScheduleConfig:
    """The learning rate over the steps of the run, or of a phase."""

    learning_rate: float = 1e-4  # the peak, at the end of the warm-up
    # how the rate decays: linear, polynomial, cosine; wsd: constant, then as 1 − √; trapezoid: constant, then linear
    schedule: str = "linear"
    warmup_ratio: float = 0.01  # share of the steps over which the rate rises linearly, from 0 at the first step
    warmup_steps: int | None = None  # length of the warm-up in steps, instead of warmup_ratio; none: use warmup_ratio
    decay_from: str = "warmup"  # where the decay starts: warmup: at its end; start: at the first step, as in BERT
    power: float = 1.0  # polynomial: exponent of the share of steps that are left; 0.5 in NVIDIA's LAMB
    decay_ratio: float = 0.1  # wsd, trapezoid: share of the steps, at the end, over which the rate decays; 0: never
    final_rate: float = 0.0  # where the decay ends, after the last step, as a share of the peak
    phases: str = ""  # STEP: field=value …; STEP: …: from that step on, a new schedule up to the next phase

    def problems(self) -> list[str]:
        """Returns a message for each setting that cannot work, in any phase."""
        found = _problems(self)
        try:
            phases = plan_phases(self)
        except ConfigError as error:
            return [*found, str(error)]
        for (_, before), (start, phase) in itertools.pairwise(phases):
            wrong = _problems(phase)
            if phase.warmup_steps is not None and phase.warmup_ratio != before.warmup_ratio:
                wrong.append("optimizer.warmup_ratio has no effect if warmup_steps is set: add warmup_steps=none.")
            found += [f"{problem} (in the phase from step {start} on)" for problem in wrong]
        for (start, phase), (end, _) in itertools.pairwise(phases):
            if (phase.warmup_steps or 0) >= end - start:
                found.append(
                    f"optimizer.warmup_steps={phase.warmup_steps} does not fit the {end - start} steps of the phase"
                    f" from step {start} on: lower it, or use optimizer.warmup_ratio."
                )
        return found


def _problems(config: ScheduleConfig) -> list[str]:
    """Returns a message for each setting that cannot work in one phase."""
    found = []
    for name, choices in (("schedule", SCHEDULES), ("decay_from", DECAY_FROM)):
        found += choice_problem(f"optimizer.{name}", getattr(config, name), choices)
    for name in ("learning_rate", "power"):
        if not 0 < getattr(config, name) < math.inf:
            found.append(f"optimizer.{name}={getattr(config, name)} must be above 0 and finite.")
    if not 0 <= config.warmup_ratio < 1:
        found.append(f"optimizer.warmup_ratio={config.warmup_ratio} must be at least 0 and below 1.")
    if config.warmup_steps is not None and config.warmup_steps < 0:
        found.append(f"optimizer.warmup_steps={config.warmup_steps} must not be negative.")
    for name in ("decay_ratio", "final_rate"):
        if not 0 <= getattr(config, name) <= 1:
            found.append(f"optimizer.{name}={getattr(config, name)} must be from 0 to 1.")
    if config.schedule in LATE:
        if config.decay_from != "warmup":
            late = f"optimizer.schedule={config.schedule}"
            found.append(f"{late} decays over the last decay_ratio of the steps: leave out decay_from.")
        if config.warmup_steps is None and config.warmup_ratio + config.decay_ratio > 1:
            found.append(
                f"optimizer.warmup_ratio={config.warmup_ratio} and decay_ratio={config.decay_ratio} add up to more than"
                " all steps: lower one."
            )
    return found


def warmup_length(config: ScheduleConfig, num_steps: int) -> int:
    """Returns the steps of the warm-up in a phase of `num_steps`."""
    return round(config.warmup_ratio * num_steps) if config.warmup_steps is None else config.warmup_steps


def warmup_problem(config: ScheduleConfig, num_steps: int) -> str | None:
    """Returns a message if a run of `num_steps` would never reach the peak rate, else None."""
    steps = warmup_length(config, num_steps)
    if steps < num_steps:
        return None
    if config.warmup_steps is None:
        return (
            f"optimizer.warmup_ratio={config.warmup_ratio} makes all of the run's {num_steps:,} steps a warm-up, so the"
            " rate would never reach its peak: lower it, or train for more steps."
        )
    return (
        f"optimizer.warmup_steps={config.warmup_steps} is not below the run's {num_steps:,} steps, so the rate would"
        " never reach its peak: lower it, or use optimizer.warmup_ratio with optimizer.warmup_steps=none."
    )


def plan_phases(config: ScheduleConfig) -> list[tuple[int, ScheduleConfig]]:
    """Returns (first step, config) of each phase, the first from step 0 on; see `configuration.phases`.

    Raises:
      ConfigError: the text of the phases is malformed, a field is not part of the schedule, a value has the wrong type,
        or steps do not increase.
    """
    of_schedule = {field.name for field in dataclasses.fields(ScheduleConfig)} - {"phases"}
    fixed = tuple(field.name for field in dataclasses.fields(config) if field.name not in of_schedule)
    return configuration.phases(config, config.phases, "optimizer.phases", fixed)


def make_schedule(config: ScheduleConfig, num_steps: int) -> optax.Schedule:
    """Makes the function from each step of a run of `num_steps` (counted from 0) to its learning rate.

    Each phase has its own schedule, including a warm-up, from its first step to the next phase or the end of the run. A
    phase that the run does not reach is ignored. A run that ends within a warm-up never reaches the peak.

    Steps count from 0, as in BERT's code, so the first one has rate 0 if there is a warm-up. With decay_from=start, the
    rate steps down at the end of the warm-up, to a decay that began at step 0. So it does in BERT's code and in
    NVIDIA's, but the latter counts steps from 1 and compares their share with `warmup_ratio`; here, the warm-up ends at
    the nearest whole step.
    """
    phases = [(start, phase) for start, phase in plan_phases(config) if start < num_steps]
    starts = [start for start, _ in phases]
    ends = [*starts[1:], num_steps]
    return optax.join_schedules(
        [_one_phase(phase, end - start) for (start, phase), end in zip(phases, ends, strict=True)], starts[1:]
    )


def _one_phase(config: ScheduleConfig, steps: int) -> optax.Schedule:
    """Makes the schedule of a phase of `steps` steps; `config.phases` is ignored."""
    warmup = warmup_length(config, steps)
    rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
    begin = 0 if config.decay_from == "start" else warmup
    if config.schedule in LATE:
        begin = max(warmup, steps - round(config.decay_ratio * steps))
    fall = _fall(config, max(steps - begin, 1))
    # Joined at the end of the warm-up. A decay that starts earlier is already under way there. One that starts later,
    # as with those of `LATE`, gets negative steps until then, which count as 0.
    return optax.join_schedules([rise, lambda step: fall(step + (warmup - begin))], [warmup])


def _fall(config: ScheduleConfig, steps: int) -> optax.Schedule:
    """Makes the decay from the peak at step 0 to the final rate at `steps`."""
    peak, final = config.learning_rate, config.learning_rate * config.final_rate
    if config.schedule in ("linear", "trapezoid"):
        return optax.linear_schedule(peak, final, steps)
    if config.schedule == "polynomial":
        return optax.polynomial_schedule(peak, final, config.power, steps)
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(peak, steps, config.final_rate)

    def one_minus_sqrt(step: jax.typing.ArrayLike) -> jax.typing.ArrayLike:
        # Steep at first (Hägele et al. 2024). optax' polynomials are powers of the share left, not of the share done.
        return peak - (peak - final) * jnp.sqrt(jnp.clip(jnp.asarray(step) / steps, 0, 1))

    return one_minus_sqrt
