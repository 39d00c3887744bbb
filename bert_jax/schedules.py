"""The learning rate over the steps of a run: a linear warm-up, then one of several ways down; phases of these."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import optax

from bert_jax import configuration
from bert_jax.errors import ConfigError, choice_problem

SCHEDULES = ("linear", "polynomial", "cosine", "wsd")
DECAY_FROM = ("warmup", "start")


@dataclasses.dataclass
class ScheduleConfig:
    """How the learning rate rises and falls. "Steps" are those of the run, or of the phase."""

    learning_rate: float = 1e-4  # the peak, which the warm-up rises to
    schedule: str = "linear"  # how the rate falls: linear, polynomial, cosine, or wsd: not at all, then as 1 − √
    warmup_ratio: float = 0.01  # share of the steps over which the rate rises linearly, from 0 at the first one
    warmup_steps: int | None = None  # the same in steps, in place of warmup_ratio; none: warmup_ratio holds
    decay_from: str = "warmup"  # where the fall starts: the warm-up's end, or start: the first step, as in BERT
    power: float = 1.0  # polynomial: the exponent over the share of steps that are left; 0.5 in NVIDIA's LAMB
    decay_ratio: float = 0.1  # wsd: share of the steps, the last ones, over which the rate falls; 0: never
    final_rate: float = 0.0  # where the fall ends, after the last step, as a share of the peak
    phases: str = ""  # STEP: field=value …; STEP: …: from so many steps on, a new schedule up to the next phase

    def problems(self) -> list[str]:
        """Sentences about what cannot work, in any phase."""
        found = _problems(self)
        try:
            phases = plan_phases(self)
        except ConfigError as error:
            return [*found, str(error)]
        for (_, before), (start, phase) in itertools.pairwise(phases):
            wrong = _problems(phase)
            if phase.warmup_steps is not None and phase.warmup_ratio != before.warmup_ratio:
                wrong.append("optimizer.warmup_ratio has no effect beside warmup_steps: add warmup_steps=none.")
            found += [f"{problem} (in the phase from step {start} on)" for problem in wrong]
        for (start, phase), (end, _) in itertools.pairwise(phases):
            if (phase.warmup_steps or 0) >= end - start:
                found.append(
                    f"optimizer.warmup_steps={phase.warmup_steps} does not fit the {end - start} steps of the phase"
                    f" from step {start} on."
                )
        return found


def _problems(config: ScheduleConfig) -> list[str]:
    """What cannot work in one phase."""
    found = []
    for name, choices in (("schedule", SCHEDULES), ("decay_from", DECAY_FROM)):
        found += choice_problem(f"optimizer.{name}", getattr(config, name), choices)
    for name in ("learning_rate", "power"):
        if not 0 < getattr(config, name) < math.inf:
            found.append(f"optimizer.{name}={getattr(config, name)} must be above 0, and finite.")
    if not 0 <= config.warmup_ratio < 1:
        found.append(f"optimizer.warmup_ratio={config.warmup_ratio} must be at least 0 and below 1.")
    if config.warmup_steps is not None and config.warmup_steps < 0:
        found.append(f"optimizer.warmup_steps={config.warmup_steps} must not be negative.")
    for name in ("decay_ratio", "final_rate"):
        if not 0 <= getattr(config, name) <= 1:
            found.append(f"optimizer.{name}={getattr(config, name)} must be from 0 to 1.")
    if config.schedule == "wsd":
        if config.decay_from != "warmup":
            found.append("optimizer.schedule=wsd falls over the last decay_ratio of the steps: leave out decay_from.")
        if config.warmup_steps is None and config.warmup_ratio + config.decay_ratio > 1:
            found.append(
                f"optimizer.warmup_ratio={config.warmup_ratio} and decay_ratio={config.decay_ratio} are more than all"
                " steps together: lower one."
            )
    return found


def plan_phases(config: ScheduleConfig) -> list[tuple[int, ScheduleConfig]]:
    """(first step, config) of each phase, the first from step 0 on, see `configuration.stages`.

    Raises:
      ConfigError: another form, a field that is not the schedule's, a value of another type, or steps that do not rise.
    """
    of_schedule = {field.name for field in dataclasses.fields(ScheduleConfig)} - {"phases"}
    fixed = tuple(field.name for field in dataclasses.fields(config) if field.name not in of_schedule)
    return configuration.stages(config, config.phases, "optimizer.phases", fixed)


def make_schedule(config: ScheduleConfig, num_steps: int) -> optax.Schedule:
    """The learning rate of each step, counted from 0, over a run of `num_steps`.

    Each phase has a schedule of its own, warm-up included, from its first step up to the next phase or the end of the
    run; a phase that the run does not reach is as if it were not there. A run that ends within a warm-up never reaches
    the peak.

    Steps count from 0, as in BERT's code: the first one has rate 0 if there is a warm-up. With decay_from=start the
    rate steps down where the warm-up ends, onto the fall that is under way since step 0, as in BERT's code and in
    NVIDIA's; the latter counts steps from 1, and compares their share with `warmup_ratio` where here the warm-up ends
    at the nearest whole step.
    """
    phases = [(start, phase) for start, phase in plan_phases(config) if start < num_steps]
    starts = [start for start, _ in phases]
    ends = [*starts[1:], num_steps]
    return optax.join_schedules(
        [_one_phase(phase, end - start) for (start, phase), end in zip(phases, ends, strict=True)], starts[1:]
    )


def _one_phase(config: ScheduleConfig, steps: int) -> optax.Schedule:
    """The rate of each of `steps` steps, without regard to `config.phases`."""
    warmup = round(config.warmup_ratio * steps) if config.warmup_steps is None else config.warmup_steps
    rise = optax.linear_schedule(0.0, config.learning_rate, warmup)
    begin = 0 if config.decay_from == "start" else warmup
    if config.schedule == "wsd":
        begin = max(warmup, steps - round(config.decay_ratio * steps))
    fall = _fall(config, max(steps - begin, 1))
    # Joined at the warm-up's end. A fall that began before it is under way there; one that begins later, wsd's, gets
    # negative steps until then, which count as 0.
    return optax.join_schedules([rise, lambda step: fall(step + (warmup - begin))], [warmup])


def _fall(config: ScheduleConfig, steps: int) -> optax.Schedule:
    """From the peak at step 0 to the final rate at `steps`."""
    peak, final = config.learning_rate, config.learning_rate * config.final_rate
    if config.schedule == "linear":
        return optax.linear_schedule(peak, final, steps)
    if config.schedule == "polynomial":
        return optax.polynomial_schedule(peak, final, config.power, steps)
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(peak, steps, config.final_rate)

    def one_minus_sqrt(step: jax.Array) -> jax.Array:
        """Steep at first (Hägele et al. 2024); optax' polynomials are powers of what is left, not of what is done."""
        return peak - (peak - final) * jnp.sqrt(jnp.clip(step / steps, 0, 1))

    return one_minus_sqrt
