"""Several real processes on this machine train one run, over gloo."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from bert_jax.training.workdir.checkpoints import read_best
from bert_jax.training.workdir.metrics import read_metrics

STEPS = 8
FLAGS = [
    "--config=experiments/configs/sizes.py:tiny",
    "--config.model.hidden_size=32",
    "--config.data.sequence_length=64",
    "--config.train.num_steps=1000",
    "--config.train.batch_size=8",
    "--config.train.log_every=1",
    "--config.train.checkpoint_every=3",
    "--config.eval.every=4",
    "--config.eval.best_by=mlm_loss",
    "--config.eval.num_targets=300",
    "--config.optimizer.warmup_steps=4",
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Processes:
    """Starts runs of several processes in one folder, with a cache of compiled programs for all."""

    def __init__(self, folder, corpus_path):
        self.folder, self.corpus_path = folder, corpus_path

    def start(self, name, count, devices, *flags, env=None, only=None):
        """The processes; `env` and `only` hold what is different in one: its index to variables, or to flags."""
        port = free_port()
        joined = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"] if count > 1 else []
        return [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.experiments.spied_process", *FLAGS),
                    *(f"--config.data.corpus={self.corpus_path}", f"--workdir={self.folder / name}"),
                    *(f"--num_cpu_devices={devices}", *joined, *([f"--process_id={i}"] if count > 1 else [])),
                    *(flags + tuple((only or {}).get(i, ()))),
                ],
                env=os.environ
                | {"JAX_COMPILATION_CACHE_DIR": str(self.folder / "compiled")}
                | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2"}
                | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}  # compiles in half the time
                | {"SPY_FILE": str(self.folder / f"{name}.{i}")}
                | (env or {}).get(i, {}),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for i in range(count)
        ]

    def run(self, *args, **kwargs) -> list[tuple[int, str]]:
        """Exit code and standard error of each process."""
        return finish(self.start(*args, **kwargs))

    def losses(self, name) -> dict[int, float]:
        rows = [row for row in read_metrics(self.folder / name) if "train/loss" in row]
        found = {row["step"]: row["train/loss"] for row in rows}
        assert len(found) == len(rows), "a step was written twice, by more than one process"
        return found

    def scores(self, name) -> list[float]:
        return [row["eval/mlm_loss"] for row in read_metrics(self.folder / name) if "eval/mlm_loss" in row]

    def rows(self, name, process) -> dict[int, dict[str, int]]:
        """The rows of each step's batch that a process made; it planned no others."""
        found = {}
        for line in (self.folder / f"{name}.{process}").read_text().splitlines():
            one = json.loads(line)
            assert one["planned"] == len(one["rows"])
            found[one["step"]] = one["rows"]
        return found


def finish(processes) -> list[tuple[int, str]]:
    texts = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, texts, strict=True)]


@pytest.fixture(scope="module")
def runs(corpus, corpus_path, tmp_path_factory):
    """Of one process with four devices, to compare with."""
    runs = Processes(tmp_path_factory.mktemp("processes"), corpus_path)
    ((code, text),) = runs.run("one", 1, 4, f"--config.train.stop_after={STEPS}")
    assert code == 0, text
    assert len(runs.losses("one")) == STEPS
    return runs


def check_like_one(runs, name):
    expected, found = runs.losses("one"), runs.losses(name)
    steps = sorted(found.keys() & expected.keys())
    assert len(steps) >= 4
    np.testing.assert_allclose([found[s] for s in steps], [expected[s] for s in steps], rtol=1e-5)
    count = min(len(runs.scores(name)), len(runs.scores("one")))
    assert count
    np.testing.assert_allclose(runs.scores(name)[:count], runs.scores("one")[:count], rtol=1e-5)


def test_two_processes_one_of_which_is_killed_go_on_like_one(runs):
    died = runs.start("two", 2, 2, env={1: {"SPY_DIES_AT": "7"}})
    codes = [code for code, _ in finish(died)]
    assert codes[1] == -signal.SIGKILL
    assert codes[0] != 0
    assert len(runs.losses("two")) < STEPS
    whole = runs.rows("one", 0)
    halves = [runs.rows("two", process) for process in range(2)]
    for step in halves[0].keys() & halves[1].keys():
        assert len(halves[0][step]) == len(halves[1][step]) == 4
        assert halves[0][step] | halves[1][step] == whole[step]
    again = runs.run("two", 2, 2, f"--config.train.stop_after={STEPS}")
    assert [code for code, _ in again] == [0, 0], again
    assert "resuming after step" in again[0][1]
    assert sorted(runs.losses("two")) == list(range(1, STEPS + 1))
    best, expected = (read_best(runs.folder / name / "checkpoints") for name in ("two", "one"))
    assert best.step == expected.step == 8
    assert best.value == pytest.approx(expected.value, rel=1e-5)
    check_like_one(runs, "two")


def test_four_processes_that_share_rows_stop_together(runs):
    started = runs.start("four", 4, 1, "--config.mesh.tensor=2")
    deadline = time.monotonic() + 200
    while len(runs.losses("four")) < 5 and time.monotonic() < deadline and started[0].poll() is None:
        time.sleep(0.05)
    started[2].send_signal(signal.SIGTERM)
    ended = finish(started)
    assert [code for code, _ in ended] == [143] * 4, ended
    (saved, *_) = sorted((int(p.name) for p in (runs.folder / "four" / "checkpoints").iterdir()), reverse=True)
    assert saved == max(runs.losses("four"))
    check_like_one(runs, "four")
    parts = [runs.rows("four", process) for process in range(4)]
    for step, whole in runs.rows("one", 0).items():
        if step < saved:
            assert parts[0][step] == parts[1][step]
            assert parts[2][step] == parts[3][step]
            assert parts[0][step] | parts[2][step] == whole
            assert len(parts[0][step]) == 4


def test_what_differs_between_processes_is_told_by_all(runs):
    ended = runs.run("other", 2, 1, only={1: ["--config.train.seed=3"]})
    for code, text in ended:
        assert code == 2
        assert "train.seed is 3 in process 1 and 0 in process 0" in text
        assert "Traceback" not in text
    assert not (runs.folder / "other").exists()
