from types import SimpleNamespace
from unittest.mock import MagicMock

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.training import loop
from bert_jax.training.config import TrainConfig


def test_a_step_begins_when_the_one_before_the_last_has_ended(monkeypatch):
    """Else a limit of time for one step would be a limit for all that are under way."""
    events = []
    monkeypatch.setattr(jax, "block_until_ready", lambda loss: events.append(f"end {int(loss)}"))

    def train_step(state, batch):
        events.append(f"begin {batch['step']}")
        return state, {"loss": jnp.float32(batch["step"]), "grad_norm": jnp.float32(0)}

    outputs = MagicMock()
    outputs.meter.compiled.return_value = 0.0
    schedule = loop.Schedule(100, TrainConfig(), 100, None, lambda: False)
    work = [SimpleNamespace(batch={"step": np.int32(step)}) for step in range(1, 5)]
    loop.run(SimpleNamespace(step=0, params=None), work, train_step, MagicMock(), MagicMock(), schedule, outputs)
    assert events == ["begin 1", "begin 2", "end 1", "begin 3", "end 2", "begin 4"]
