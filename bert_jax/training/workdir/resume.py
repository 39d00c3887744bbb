"""Checks that a resumed run has the config it was started with.

A field may change only if its definition says so (`configuration.setting`, `may_change` and `fixed`). Others, such as
`train.batch_size`, decide what is learned.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax import configuration
from bert_jax.errors import ConfigError
from bert_jax.optim.schedules import ScheduleConfig, make_schedule

# What a fork may choose anew, because it decides about the steps to come alone.
OF_A_FORK = {f"optimizer.{field.name}" for field in dataclasses.fields(ScheduleConfig)}
OF_A_FORK |= {f"train.{name}" for name in ("num_steps", "num_epochs", "min_steps", "time_budget")}
OF_A_FORK |= {"train.fork_from", "train.fork_step"}


def check_resumed(given: Any, stored: Any, steps_taken: int, where: str) -> None:
    """Compares the config of this start with that of the first, and fills in the fields that the first start chose.

    Args:
      given: the config of this start, changed in place.
      stored: the config of the first start.
      steps_taken: steps up to the newest checkpoint.
      where: the run's folder, for messages.

    Raises:
      ConfigError: fields differ that may not; gives the old and the new value of each.
    """
    old, new = configuration.fields(stored), configuration.fields(given)
    settings = configuration.metadata(type(stored))
    for name in new:
        if settings[name]["chosen"] and new[name] is None:
            configuration.replace(given, name, old[name])
            new[name] = old[name]
    changed = [name for name in new if new[name] != old[name]]
    refused = [
        f"{name} was {old[name]!r} and is {new[name]!r}"
        for name in changed
        if not _may_change(settings[name], old[name], new[name])
    ]
    if stored.train.on_bad_step == "rewind" and "train.checkpoint_every" in changed:
        before, now = (f"{config.train.checkpoint_every:,}" for config in (stored, given))
        refused.append(f"train.checkpoint_every, which says where a run is rewound to, was {before} and is {now}")
    if refused:
        raise ConfigError(f"{where} holds a run of another config: {'; '.join(refused)}. Choose another --workdir.")
    if "train.num_steps" in changed:
        _check_num_steps(stored, old["train.num_steps"], new["train.num_steps"], steps_taken)


def check_forked(given: Any, stored: Any, where: str) -> None:
    """Compares the config of a fork with that of its run, and fills in the fields that the run's first start chose.

    Args:
      given: the config of the fork, changed in place; `train.fork_step` is set.
      stored: the config of the run.
      where: the run's folder, for messages.

    Raises:
      ConfigError: fields differ that decide about the steps before the fork, or what the state holds.
    """
    old, new = configuration.fields(stored), configuration.fields(given)
    settings, refused = configuration.metadata(type(stored)), []
    for name in [name for name in new if name not in OF_A_FORK]:
        if settings[name]["chosen"] and new[name] is None:
            configuration.replace(given, name, old[name])
        elif until := settings[name]["until"]:
            step = given.train.fork_step
            if until(old[name], step) != until(new[name], step):
                refused.append(f"{name} was {old[name]!r} and is {new[name]!r}, before train.fork_step={step}")
        elif new[name] != old[name] and not _may_change(settings[name], old[name], new[name]):
            refused.append(f"{name} was {old[name]!r} and is {new[name]!r}")
    if refused:
        raise ConfigError(
            f"train.fork_from={where} is a run of another config: {'; '.join(refused)}. Give it the same, or start from"
            " its parameters alone, by train.init_from."
        )


def _may_change(setting: Mapping[str, Any], old: Any, new: Any) -> bool:
    fixed = setting["fixed"]
    return bool(setting["may_change"]) and (fixed is None or fixed(old) == fixed(new))


def _check_num_steps(config: Any, old: int, new: int, taken: int) -> None:
    where = f"train.num_steps was {old:,} and is {new:,}"
    if new < taken:
        raise ConfigError(f"{where}, but {taken:,} steps are taken already: give at least that many.")
    steps = jnp.arange(config.train.fork_step or 0, taken)  # those before a fork are history
    before, after = (np.asarray(jax.vmap(make_schedule(config.optimizer, n))(steps)) for n in (old, new))
    if not np.array_equal(before, after):
        raise ConfigError(
            f"{where}: with optimizer.schedule={config.optimizer.schedule}, the {taken:,} steps already taken would"
            f" have had other learning rates. A run can be made longer or shorter only before its schedule starts to"
            f" decay: optimizer.schedule=wsd with optimizer.warmup_steps, up to its last decay_ratio of the steps."
        )
