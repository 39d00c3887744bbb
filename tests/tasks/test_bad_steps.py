"""Steps whose numbers are bad, in whole runs."""

import json

import numpy as np
import pytest

from bert_jax.tasks.pretraining import pretrain
from bert_jax.training import recheck
from bert_jax.training.bad_steps import TrainingError
from bert_jax.training.placed import PlacedTask
from bert_jax.training.run import Options
from tests.tasks.test_pretraining import results

PASSED_OVER = ("train/recent_grad_norm", "train/skipped", "data/epochs/")


@pytest.fixture
def poison(monkeypatch):
    """Makes the losses of some batches of the stream, counted from 0, NaN."""
    own, poisoned = PlacedTask.work, []

    def work(self, step):
        found = own(self, step)
        if step in poisoned:
            found.batch["masked_weights"] = found.batch["masked_weights"] * np.nan
        return found

    monkeypatch.setattr(PlacedTask, "work", work)
    return poisoned.extend


def bad_steps(workdir):
    return json.loads((workdir / "run.json").read_text())["bad_steps"]


def checksums(workdir, step):
    about = json.loads((workdir / "checkpoints" / str(step) / "about" / "metadata").read_text())
    return {name: one for name, one in about["checksums"].items() if name.startswith(("params", "opt_state/inner"))}


def test_a_bad_step_is_skipped_and_changes_neither_parameters_nor_optimiser(config, tmp_path, poison, capfd):
    config.train.on_bad_step, config.train.checkpoint_every = "skip", 1
    config.train.keep_checkpoints, config.train.num_steps = 9, 6
    poison([3])
    pretrain(config, tmp_path / "run")
    assert checksums(tmp_path / "run", 3) == checksums(tmp_path / "run", 4) != checksums(tmp_path / "run", 5)
    (only,) = bad_steps(tmp_path / "run")
    assert only["step"] == 4
    assert only["why"].startswith("The loss is nan and the gradient norm nan (not finite in ")
    assert "at step 4: skipped" in capfd.readouterr().err


def test_a_rewound_run_is_the_run_that_never_saw_these_batches(config, tmp_path, poison, monkeypatch, capfd):
    """Rewound twice, and interrupted in between: a checkpoint that was saved at a stop is not gone back to."""
    config.train.on_bad_step, config.eval.every = "rewind", 4
    poison([1, 7])  # step 2; and step 6, which by then trains on batch 7
    config.train.stop_after = 5
    pretrain(config, tmp_path / "run")
    config.train.stop_after = None
    pretrain(config, tmp_path / "run")
    assert [(one["step"], one["rewound_to"], one["batches"]) for one in bad_steps(tmp_path / "run")] == [
        (2, 0, 2),
        (6, 4, 2),
    ]
    assert "at step 6: going back to step 4" in capfd.readouterr().err
    poisoned = PlacedTask.work
    monkeypatch.setattr(PlacedTask, "work", lambda self, step: poisoned(self, step + (2 if step < 4 else 4)))
    pretrain(config, tmp_path / "without")
    (rows, *rest), (others, *other_rest) = (results(tmp_path / name) for name in ("run", "without"))
    assert rest == other_rest
    assert [own(row) for row in rows] == [own(row) for row in others]


def own(row):
    return {name: value for name, value in row.items() if not name.startswith(PASSED_OVER)}


def test_a_run_is_not_rewound_for_ever(config, tmp_path, poison):
    config.train.on_bad_step, config.train.max_bad_steps = "rewind", 1
    poison(range(5, 20))
    with pytest.raises(TrainingError, match="after the run has gone back to step 4 1 time "):
        pretrain(config, tmp_path / "run")


def test_a_stop_at_the_last_step_is_no_end_before_the_evaluation(config, tmp_path, capfd):
    config.train.num_steps, config.eval.every, config.eval.best_by = 4, 2, "mlm_loss"
    asked = iter(range(1, 9))
    assert pretrain(config, tmp_path / "run", Options(should_stop=lambda: next(asked) == 4)) == {}
    assert "saved after the last step, 4; the same command scores it" in capfd.readouterr().err
    assert pretrain(config, tmp_path / "run")["step"] == 4
    evaluated = [row["step"] for row in results(tmp_path / "run")[0] if "eval/mlm_loss" in row]
    assert evaluated == [2, 4]


def test_a_rechecked_run_is_the_same_run(config, tmp_path, monkeypatch):
    config.train.num_steps = 4
    pretrain(config, tmp_path / "plain")
    own, calls = recheck.bit_sums, []
    monkeypatch.setattr(recheck, "bit_sums", lambda tree: calls.append(own(tree)) or calls[-1])
    config.train.recheck_every = 2
    pretrain(config, tmp_path / "rechecked")
    assert results(tmp_path / "rechecked") == results(tmp_path / "plain")
    # Twice the whole state and once each device, of steps 2 and 4.
    assert [len(sums) for sums in calls] == [len(calls[0])] * 6
