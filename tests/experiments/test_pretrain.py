"""The script as a user meets it: in a process of its own, killed, told to stop, misspelt."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bert_jax.training.workdir.checkpoints import read_best
from tests.tasks.test_pretraining import results

FLAGS = [
    "--config=experiments/configs/sizes.py:tiny",
    "--config.model.hidden_size=32",
    "--config.data.sequence_length=64",
    "--config.train.num_steps=60",
    "--config.train.batch_size=8",
    "--config.train.log_every=5",
    "--config.train.checkpoint_every=7",
    "--config.eval.every=12",
    "--config.eval.best_by=nsp_accuracy",
    "--config.eval.num_targets=300",
]


def command(corpus_path, workdir, *flags):
    return [
        sys.executable,
        "-m",
        "experiments.pretrain",
        *FLAGS,
        f"--config.data.corpus={corpus_path}",
        f"--workdir={workdir}",
        *flags,
    ]


@pytest.fixture(scope="module")
def straight(corpus, corpus_path, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("script") / "straight"
    done = subprocess.run(command(corpus_path, workdir), check=True, capture_output=True, text=True)
    (workdir.parent / "printed").write_text(done.stdout)
    return workdir


def start_and_wait_for_step(corpus_path, workdir, step):
    process = subprocess.Popen(command(corpus_path, workdir), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    metrics = workdir / "metrics.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and f'"step": {step}' in metrics.read_text():
            return process
        time.sleep(0.01)
    return process


def test_the_best_checkpoint_is_kept_and_told(straight):
    best = read_best(straight / "checkpoints")
    assert (straight / "checkpoints" / str(best.step)).exists()
    printed = (straight.parent / "printed").read_text()
    assert f"The best checkpoint by nsp_accuracy is that of step {best.step} of 60, with {best.value:.3f}" in printed
    assert f"next sentence, accuracy {best.value:.3f}" in printed


def test_sigterm_saves_and_the_same_command_goes_on(straight, corpus_path, tmp_path):
    process = start_and_wait_for_step(corpus_path, tmp_path / "run", 10)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    saved = max(int(p.name) for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name.isdigit())
    assert 10 <= saved < 60
    assert process.stderr.read().decode().endswith(f"saved after step {saved}; the same command resumes\n")
    done = subprocess.run(command(corpus_path, tmp_path / "run"), check=True, capture_output=True, text=True)
    assert f"resuming after step {saved}" in done.stderr
    assert "the same command resumes" not in done.stderr
    assert results(tmp_path / "run") == results(straight)
    again = subprocess.run(command(corpus_path, tmp_path / "run"), check=True, capture_output=True, text=True)
    assert "This run is finished: 60 of 60 steps." in again.stderr


def test_a_second_start_in_the_workdir_is_refused_and_changes_nothing(straight, corpus_path, tmp_path):
    process = start_and_wait_for_step(corpus_path, tmp_path / "run", 10)
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)  # returns when the last thread stands still: until then they still write
    try:
        before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
        second = subprocess.run(command(corpus_path, tmp_path / "run"), capture_output=True, text=True)
        assert second.returncode == 2
        assert f"{tmp_path}/run is in use by a run, process {process.pid} on " in second.stderr
        assert {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()} == before
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=120) == 0
    assert results(tmp_path / "run") == results(straight)
    assert not list((tmp_path / "run").glob("lock-*"))


def test_the_report_is_written(straight):
    report = (straight / "report.md").read_text()
    for part in ("## Held-out scores", "word frequencies", "majority", "## Filled masks", "curves.png", "## Settings"):
        assert part in report
    assert (straight / "report" / "curves.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config.model.num_layrs=3"], "Did you mean --config.model.num_layers?"),
        (["--config.train.batch_size=many"], "'many' is not a whole number"),
        (["--config.model.num_heads=3"], "does not divide"),
        (["--config.data.corpus=nowhere"], "There is no corpus at nowhere"),
        (["--config=experiments/configs/none.py"], "is not a file"),
        (["--config.train.num_steps=none"], "Give one of train.num_steps, train.num_epochs and train.time_budget"),
        (["--workdir=/proc/run"], "cannot be written"),
    ],
)
def test_mistakes_end_in_a_sentence(corpus_path, tmp_path, flags, message):
    done = subprocess.run(command(corpus_path, tmp_path / "run", *flags), capture_output=True, text=True)
    assert done.returncode not in (0, -signal.SIGKILL)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "checkpoints").exists()
