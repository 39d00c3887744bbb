"""What a second start of a workdir may change, in one table."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax import configuration
from bert_jax.errors import ConfigError
from bert_jax.optimizer import make_schedule

# Everything else decides what is learnt, and must stay.
MAY_CHANGE = {
    "data.corpus": "the folder may move; its content is compared by fingerprint",
    "data.prefetch": "waiting only",
    "model.remat": "memory only",
    "train.accumulation": "memory only; sums in another order",
    "train.num_steps": "where the learning rates of the steps already taken stay as they were",
    "train.time_budget": "it chose the number of steps at the first start",
    "train.log_every": "cadence",
    "train.layer_norms_every": "cadence",
    "train.checkpoint_every": "cadence",
    "train.keep_checkpoints": "cadence",
    "train.stop_after": "cadence",
    "eval.every": "cadence",
    "mesh.data": "devices; sums in another order",
    "mesh.fsdp": "devices; sums in another order",
    "mesh.tensor": "devices; sums in another order",
}
# What the first start fills in where it is not given.
CHOSEN_AT_START = frozenset(("model.vocab_size", "train.num_steps"))


def check_resumed(given: Any, stored: Any, steps_taken: int, where: str) -> None:
    """Refuses another config than the run's, and fills in what its first start chose.

    Args:
      given: the config of this start, changed in place.
      stored: the config of the first one.
      steps_taken: up to the newest checkpoint.
      where: the run's folder, for messages.

    Raises:
      ConfigError: each field that differs and may not, with its old and new value.
    """
    old, new = configuration.fields(stored), configuration.fields(given)
    for name in CHOSEN_AT_START:
        if new[name] is None:
            configuration.replace(given, name, old[name])
            new[name] = old[name]
    changed = [name for name in new if new[name] != old[name]]
    refused = [f"{name} was {old[name]!r} and is {new[name]!r}" for name in changed if name not in MAY_CHANGE]
    if refused:
        raise ConfigError(f"{where} holds a run of another config: {'; '.join(refused)}. Choose another --workdir.")
    if "train.num_steps" in changed:
        _check_num_steps(stored, old["train.num_steps"], new["train.num_steps"], steps_taken)


def _check_num_steps(config: Any, old: int, new: int, taken: int) -> None:
    where = f"train.num_steps was {old:,} and is {new:,}"
    if new < taken:
        raise ConfigError(f"{where}, but {taken:,} steps are taken already: give at least as many.")
    steps = jnp.arange(taken)
    before, after = (np.asarray(jax.vmap(make_schedule(config.optimizer, n))(steps)) for n in (old, new))
    if not np.array_equal(before, after):
        raise ConfigError(
            f"{where}: with optimizer.schedule={config.optimizer.schedule} the {taken:,} steps already taken would have"
            f" had other learning rates. Only a schedule that has not begun to fall can be made longer or shorter:"
            f" optimizer.schedule=wsd with optimizer.warmup_steps, up to its last decay_ratio of the steps."
        )
