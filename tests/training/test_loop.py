from types import SimpleNamespace
from unittest.mock import MagicMock

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.training import loop
from bert_jax.training.bad_steps import Watch
from bert_jax.training.config import TrainConfig


def make_loop(train_step, schedule, **outputs):
    made = MagicMock(**outputs)
    made.meter.compiled.return_value = 0.0
    made.checkpoints.lacks_scores = False
    state = SimpleNamespace(step=0, params=None, scored=None)
    return loop.Loop(state, train_step, MagicMock(return_value={}), MagicMock(), schedule, Watch(TrainConfig()), made)


def work(steps):
    return [SimpleNamespace(batch={"step": np.int32(step)}) for step in range(1, steps + 1)]


def test_a_step_begins_when_the_one_before_the_last_has_ended(monkeypatch):
    """Else a limit of time for one step would be a limit for all that are under way."""
    events = []
    monkeypatch.setattr(jax, "block_until_ready", lambda loss: events.append(f"end {int(loss)}"))

    def train_step(state, batch, taken):
        events.append(f"begin {batch['step']}")
        return state, {"loss": jnp.float32(batch["step"]), "grad_norm": jnp.float32(0)}

    make_loop(train_step, loop.Schedule(100, TrainConfig(), 100, None, lambda: False)).run(work(4))
    assert events == ["begin 1", "begin 2", "end 1", "begin 3", "end 2", "begin 4"]


def test_a_run_that_is_told_to_stop_saves_and_leaves_the_evaluation_to_the_next_start(monkeypatch):
    """An evaluation may take longer than the time that a machine gives."""
    monkeypatch.setattr(loop, "checksums", lambda state: {})
    events = []

    def train_step(state, batch, taken):
        return state, {"loss": jnp.float32(1), "grad_norm": jnp.float32(0)}

    def events_of(told_at, stop_after=None):
        events.clear()
        asked = iter(range(1, 100))
        schedule = loop.Schedule(4, TrainConfig(stop_after=stop_after), 2, None, lambda: next(asked) == told_at)
        one = make_loop(train_step, schedule)
        one._evaluate = lambda params, taken: events.append(f"score {one._step}") or {}
        one._outputs.checkpoints.save = lambda step, *_: events.append(f"save {step}")
        one._outputs.checkpoints.add_scores = lambda step, *_: events.append(f"add {step}")
        one.run(work(4))
        return events

    assert events_of(None) == ["score 2", "save 4", "score 4", "add 4"]
    assert events_of(2) == ["save 2"]
    assert events_of(4) == ["score 2", "save 4"]
    assert events_of(None, stop_after=2) == ["save 2", "score 2", "add 2"]
