import pytest

from experiments.benchmarks.turns import FailedError, Turns


def counting(first):
    counts = iter(range(first, 100))
    return lambda: {"count": next(counts)}


def missing():
    raise ModuleNotFoundError("torch")


def broken():
    raise ValueError("no such mode\nat all")


def test_a_process_warms_up_once_and_measures_each_turn():
    turns = Turns(counting, 7)
    first, second = turns.take(), turns.take()
    turns.end()
    assert (first["count"], second["count"]) == (8, 9)
    assert first["seconds"] >= 0
    assert first["memory"] > 1e6


@pytest.mark.parametrize(("make", "message"), [(missing, "pip install"), (broken, "ValueError: no such mode$")])
def test_what_cannot_be_measured_is_told_at_each_turn(make, message):
    turns = Turns(make)
    for _ in range(2):
        with pytest.raises(FailedError, match=message):
            turns.take()
    turns.end()
