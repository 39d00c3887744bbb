"""The last lines of a training script."""

import os
import sys

import jax
import pytest

from experiments import training
from tests.reporting.fake_run import eval_row, train_row, write_run


@pytest.mark.parametrize("flags", [["--workdir=RUN", "--config.train.num_steps=20"], ["--workdir", "RUN"]])
def test_a_model_that_has_learned_nothing_is_told_with_the_command_for_a_longer_run(flags, tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", rows=(train_row(20), eval_row(20, mlm_loss=9.0, unigram_mlm_loss=7.0)))
    given = [flag.replace("RUN", str(run)) for flag in flags]
    monkeypatch.setattr(sys, "argv", ["pretrain.py", *given, "--config=mini", "--profile=1:2"])
    monkeypatch.setattr(training, "_WORKDIR", type("Flag", (), {"value": f"{run}/"}))
    told = "\n".join(
        training._verdict(str(run), {"eval/mlm_loss": 9.0, "eval/unigram_mlm_loss": 7.0}, "experiments.pretrain")
    )
    assert "Not better than the baseline after 20 steps" in told
    assert "9.000" in told
    command = told.rsplit(": ", 1)[1]
    assert command == (
        f"python -m experiments.pretrain --config=mini --workdir={run}-longer --config.train.num_steps=200"
    )
    assert (
        training._verdict(str(run), {"eval/mlm_loss": 6.0, "eval/unigram_mlm_loss": 7.0}, "experiments.pretrain") == []
    )


def test_runs_of_a_command_share_what_is_compiled_and_a_users_own_cache_stays():
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    try:
        jax.config.update(names[0], "a/folder")
        with training.compiled_once():
            assert jax.config.jax_compilation_cache_dir == "a/folder"
        jax.config.update(names[0], None)
        with training.compiled_once():
            folder = jax.config.jax_compilation_cache_dir
            assert os.path.isdir(folder)
            assert jax.config.jax_persistent_cache_min_compile_time_secs == 0
        assert (jax.config.jax_compilation_cache_dir, os.path.exists(folder)) == (None, False)
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
