import json

import numpy as np
import pytest

from bert_jax.errors import ConfigError
from bert_jax.reporting.run_record import read_run, short_names
from tests.reporting.fake_run import ROWS, START, train_row, write_run


def test_sums_are_those_of_all_intervals_on_the_devices_of_their_start(tmp_path):
    starts = (START, START | {"step": 10, "num_devices": 4})
    run = read_run(write_run(tmp_path / "run", starts=starts))
    assert (run.seconds, run.tokens, run.flops, run.evaluation_seconds) == (72.0, 7200.0, 72e9, 4.0)
    assert run.device_hours == pytest.approx(0.01 * 1 + 0.01 * 4)


def test_a_start_that_went_back_behind_an_earlier_one_counts_from_there(tmp_path):
    """The checkpoint of step 15 was damaged: steps 11 to 20 were made by the third start."""
    starts = (START, START | {"step": 15, "num_devices": 2}, START | {"step": 10, "num_devices": 8})
    run = read_run(write_run(tmp_path / "run", starts=starts))
    assert run.device_hours == pytest.approx(0.01 * 1 + 0.01 * 8)


def test_starts_that_found_the_run_finished_are_no_restarts(tmp_path):
    starts = [START | {"step": step} for step in (0, 10, 20)]
    assert [start["step"] for start in read_run(write_run(tmp_path / "run", starts=starts)).restarts] == [10]


def test_what_one_interval_lacks_has_no_sum(tmp_path):
    old = {name: value for name, value in train_row(10).items() if name != "train/seconds"}
    run = read_run(write_run(tmp_path / "run", rows=(old, train_row(20)), starts=()))
    assert (run.seconds, run.tokens, run.flops, run.device_hours) == (None, None, None, None)
    assert run.x(np.array([5.0]), "tokens") is None
    assert run.x(np.array([5.0]), "hours") is None
    np.testing.assert_array_equal(run.x(np.array([5.0]), "step"), [5.0])


def test_other_axes_run_evenly_within_an_interval(tmp_path):
    run = read_run(write_run(tmp_path / "run", rows=(train_row(10), train_row(20, tokens_per_second=300.0))))
    np.testing.assert_allclose(run.x(np.array([0.0, 5, 10, 15, 20]), "tokens"), [0, 1800, 3600, 9000, 14400])
    np.testing.assert_allclose(run.x(np.array([10.0, 20]), "hours"), [0.01, 0.02])


def test_values_that_are_not_finite_are_left_out(tmp_path):
    rows = (train_row(10, loss=float("nan")), train_row(20, loss=float("inf")), train_row(30, loss=2.0))
    steps, values = read_run(write_run(tmp_path / "run", rows=rows)).series("train/loss")
    assert (steps.tolist(), values.tolist()) == ([30], [2.0])


def test_a_run_of_another_version_is_read_as_far_as_it_goes(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "run.json").unlink()
    (folder / "metrics.jsonl").write_text(json.dumps(ROWS[0]) + "\n" + '{"step": 20, "tra')
    (folder / "config.json").write_text(json.dumps({"task": "new", "config": {"model": {"new_field": 1}, "train": {}}}))
    run = read_run(folder)
    assert (run.task, run.config) == ("new", {"model.new_field": 1})
    assert (run.step, run.num_steps, run.starts, run.versions, run.last_evaluation) == (10, None, [], {}, {})


def test_phases_are_told_in_order(tmp_path):
    run = read_run(
        write_run(
            tmp_path / "run",
            data__phases="20: sequence_length=512 batch_size=64; 30: mask_rate=0.1",
            optimizer__phases="25: learning_rate=0.1",
        )
    )
    assert run.phases == [
        (20, "data: sequence_length=512 batch_size=64"),
        (25, "optimizer: learning_rate=0.1"),
        (30, "data: mask_rate=0.1"),
    ]


def test_a_config_of_an_older_version_is_refused_by_name(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "config.json").write_text(json.dumps({"model": {}}))
    with pytest.raises(ConfigError, match=r"run/config\.json is not a config of this version"):
        read_run(folder)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no run: it has no config\.json"):
        read_run(tmp_path)
    with pytest.raises(ConfigError, match="There is no folder"):
        read_run(tmp_path / "nowhere")


def test_names_are_as_short_as_tells_them_apart(tmp_path):
    runs = [read_run(write_run(tmp_path / name)) for name in ("x/a", "x/b", "y/a")]
    assert short_names(runs[:2]) == ["a", "b"]
    assert short_names(runs) == ["x/a", "x/b", "y/a"]
