"""The report of a sweep: what is the best, and what is told of the others."""

import math

import pytest
from etils import epath

from bert_jax.reporting.run_record import RunRecord
from bert_jax.reporting.sweep import Tried, ranked, score_of, winners, write_sweep_report
from bert_jax.reporting.sweep_picture import x_axis
from bert_jax.scores import Score
from bert_jax.training.best import Best

ACCURACY, LOSS = (
    Score("accuracy", "accuracy", baseline="majority", baseline_title="majority"),
    Score("dev_loss", "loss", True),
)


def record(tmp_path, found, by=ACCURACY, step=20):
    row = {"step": step, "eval/accuracy": found, "eval/dev_loss": found, "eval/majority": 0.5}
    best = Best(by.name, by.lower_is_better, step, found)
    return RunRecord(
        epath.Path(tmp_path), "t", {"train.num_steps": step}, [row], "", [ACCURACY, LOSS], {}, {}, [], best
    )


def tried(tmp_path, scores, by=ACCURACY, **settings):
    name = ",".join(f"{key}={value}" for key, value in settings.items())
    return Tried(name, settings, [record(tmp_path, score, by) for score in scores])


@pytest.mark.parametrize(
    ("by", "scores", "order"),
    [
        (ACCURACY, [[0.7], [0.9], [0.8]], [1, 2, 0]),
        (LOSS, [[0.9], [0.4], [0.6]], [1, 2, 0]),  # a name that ends in another's
        (ACCURACY, [[0.9], [0.9], [0.8]], [0, 1, 2]),  # of equal ones, the earlier
        (ACCURACY, [[math.nan], [0.2], [math.inf]], [1, 0, 2]),
        (ACCURACY, [[0.9, math.nan], [0.7, 0.7], [0.6, 0.9]], [2, 1, 0]),  # by the mean over all seeds
        (LOSS, [[-math.inf], [None], [0.5]], [2, 0, 1]),
    ],
)
def test_the_best_is_the_first_of_the_best_defined_means(by, scores, order, tmp_path):
    every = [tried(tmp_path, some, by, learning_rate=10.0**-i) for i, some in enumerate(scores)]
    assert score_of(every) == by
    assert [every.index(one) for one in ranked(every, by)] == order
    assert winners(every) == [every[order[0]]]


def test_a_failed_combination_is_never_the_best_and_is_listed(tmp_path):
    good = tried(tmp_path, [0.6, 0.8], learning_rate=1e-5)
    failed = Tried("learning_rate=1", {"learning_rate": 1.0}, [record(tmp_path, 0.9)], "failed")
    text = write_sweep_report(tmp_path, [failed, good], ["`learning_rate=1` failed with seed 0: it is not finite."])
    assert winners([failed, good]) == [good]
    assert "A sweep: 2 combinations of settings, 3 runs." in text
    assert "- `learning_rate=1e-05`: accuracy 0.700 ± 0.141." in text
    assert "| 1 | 20 | failed |" in text
    assert "Baseline: 0.500 (majority)" in text
    assert "failed with seed 0" in text
    none = write_sweep_report(tmp_path, [Tried("a", {"learning_rate": 1.0}, [], "failed")])
    assert "1 combination of settings, 0 runs." in none


def test_each_size_has_its_best_and_the_picture_shows_sizes(tmp_path):
    every = [
        tried(tmp_path, [size / 100 + rate], num_train_examples=size, learning_rate=rate)
        for size in (4, 16, 64)
        for rate in (0.01, 0.02)
    ]
    assert [one.settings for one in winners(every)] == [
        {"num_train_examples": size, "learning_rate": 0.02} for size in (4, 16, 64)
    ]
    assert x_axis(every) == "num_train_examples"
    assert x_axis(every[:2]) == "learning_rate"
    assert x_axis([tried(tmp_path, [0.5], schedule=name, batch_size=8) for name in ("linear", "cosine")]) == "schedule"
    write_sweep_report(tmp_path, every)
    assert (tmp_path / "sweep.png").stat().st_size > 1000
