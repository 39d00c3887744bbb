"""Steps from passes over the data, and evaluations from steps."""

import pytest

from bert_jax.scores import Score
from bert_jax.training.config import EvalConfig, TrainConfig
from bert_jax.training.planning.length import choose_length, complete_evaluation, describe_length


class Thirty:
    """A stream of thirty steps an epoch."""

    def num_steps(self, epochs):
        return round(30 * epochs)


@pytest.mark.parametrize(
    ("min_steps", "steps", "told"),
    [
        (0, 90, []),
        (90, 90, []),
        (500, 500, ["steps        500, since the set is small: 3 epochs are 90 (train.min_steps)"]),
    ],
)
def test_a_small_set_gets_more_steps_and_is_told(min_steps, steps, told):
    config = TrainConfig(num_epochs=3.0, min_steps=min_steps)
    choose_length(config, Thirty())
    assert (config.num_steps, describe_length(config, Thirty())) == (steps, told)


def test_given_steps_stay():
    config = TrainConfig(num_steps=20, min_steps=500)
    choose_length(config, Thirty())
    assert (config.num_steps, describe_length(config, Thirty())) == (20, [])


@pytest.mark.parametrize(("steps", "every"), [(1, 10), (20, 10), (100, 10), (101, 11), (12_900, 1_290)])
def test_a_run_is_evaluated_ten_times_and_at_its_end(steps, every):
    config = EvalConfig(every=None, best_by=None)
    complete_evaluation(config, (Score("f1", "F1"), Score("loss", "loss", True)), steps)
    assert (config.every, config.best_by) == (every, "f1")


def test_what_is_given_stays():
    config = EvalConfig(every=7, best_by="")
    complete_evaluation(config, (Score("f1", "F1"),), 100)
    assert (config.every, config.best_by) == (7, "")
