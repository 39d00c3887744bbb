import threading
import time

import pytest

from bert_jax.training.loader import Loader


def test_gives_every_step_in_order():
    loader = Loader(lambda step: step * step, 3, 20, prefetch=2)
    assert list(loader) == [step * step for step in range(3, 20)]
    loader.close()


def test_makes_ahead_but_not_too_far():
    made = []
    loader = Loader(made.append, 0, 100, prefetch=2)
    time.sleep(0.3)
    assert len(made) <= 4
    loader.close()
    assert not any(thread.name == "loader" for thread in threading.enumerate())


def test_an_error_reaches_the_consumer():
    def broken(step):
        if step == 2:
            raise ValueError("step two")
        return step

    loader = Loader(broken, 0, 5, prefetch=1)
    with pytest.raises(ValueError, match="step two"):
        list(loader)
    loader.close()


def test_counts_the_time_spent_waiting():
    loader = Loader(lambda step: time.sleep(0.05), 0, 4, prefetch=1)
    list(loader)
    assert 0.1 < loader.waited < 0.5
    loader.close()
