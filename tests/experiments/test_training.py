"""The last lines of a training script."""

import faulthandler
import os
import signal
import subprocess
import sys
import types

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


@pytest.fixture
def signals(monkeypatch):
    """Restores the handlers of the tests' own process."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(training, "_received", [])
    monkeypatch.setattr(training, "_OUTLIVES_TERMINAL", False)
    for name, value in (("_GRACE", 30), ("_PROFILE", None), ("_DRY_RUN", False)):
        monkeypatch.setattr(training, name, types.SimpleNamespace(value=value))
    yield
    signal.alarm(0)
    faulthandler.unregister(signal.SIGALRM)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_stops_the_run(number, code, signals, monkeypatch):
    def run(kind, config, workdir, options):
        if not options.should_stop():
            os.kill(os.getpid(), number)
        return {} if options.should_stop() else {"eval/loss": 1.0}

    monkeypatch.setattr(training, "run", run)
    with pytest.raises(SystemExit) as ended:
        training._run("run", None, None, "experiments.pretrain")
    assert ended.value.code == code
    assert signal.alarm(0) == 0  # what comes after the run, such as its report, has all the time


def test_after_a_signal_at_the_end_of_a_run_the_next_one_is_not_begun(signals, monkeypatch, capsys):
    def run(kind, config, workdir, options):
        begun.append(workdir)
        os.kill(os.getpid(), signal.SIGTERM)  # too late to stop this one
        return {"eval/loss": 1.0}

    begun = []
    monkeypatch.setattr(training, "run", run)
    assert training._run("seed_0", None, None, "experiments.finetune") == {"eval/loss": 1.0}
    with pytest.raises(SystemExit) as ended:
        training._run("seed_1", None, None, "experiments.finetune")
    assert (ended.value.code, begun) == (143, ["seed_0"])
    assert capsys.readouterr().err == "stopped: seed_1 is not begun; the same command goes on\n"


def test_a_run_under_nohup_outlives_its_terminal(signals, monkeypatch):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(training, "_OUTLIVES_TERMINAL", True)
    monkeypatch.setattr(training, "run", lambda *_: os.kill(os.getpid(), signal.SIGHUP) or {"eval/loss": 1.0})
    assert training._run("run", None, None, "experiments.pretrain") == {"eval/loss": 1.0}


STANDS_STILL = """
import os, signal, threading
from absl import flags
from experiments import training
def run(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    lock = threading.Lock()
    with lock:
        lock.acquire()
training.run = run
flags.FLAGS(["training", "--workdir=run", "--grace_seconds=1"])
training._run("run", None, None, "experiments.pretrain")
"""


def test_a_run_that_does_not_stop_is_ended_and_says_where_it_stands():
    done = subprocess.run([sys.executable, "-c", STANDS_STILL], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGALRM
    assert 'File "<string>", line 10 in run' in done.stderr
