import time

import pytest

from bert_jax.training.meter import Meter


def test_pauses_do_not_count(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    meter = Meter(lambda: 0.5, lambda: 0.0, peak=1e6, began=now[0])
    meter.tokens, meter.flops = 800, 4e6
    now[0] += 10
    meter.pause(6.0)  # a compilation, or an evaluation
    values = meter.read()
    assert values["train/seconds"] == pytest.approx(4)
    assert values["train/tokens_per_second"] == pytest.approx(200)
    assert values["train/mfu"] == pytest.approx(1)
    assert values["train/data_wait"] == pytest.approx(0.125)
