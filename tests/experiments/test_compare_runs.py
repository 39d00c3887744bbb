import subprocess
import sys

from bert_jax.tasks.pretraining import pretrain


def compare(*flags):
    command = [sys.executable, "-m", "experiments.compare_runs", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_two_runs_one_of_them_stopped_are_compared(config, tmp_path):
    config.train.num_steps, config.eval.every = 4, 2
    pretrain(config, tmp_path / "whole")
    config.data.prefetch, config.train.stop_after = 5, 3
    pretrain(config, tmp_path / "stopped")
    runs = (f"{tmp_path}/whole", f"{tmp_path}/stopped")
    done = compare(*runs, f"--output={tmp_path}/comparison")
    assert done.returncode == 0, done.stderr
    assert "| steps | 4 | 3 of 4 |" in done.stdout
    assert "| `data.prefetch` | 2 | 5 |" in done.stdout
    assert (tmp_path / "comparison" / "comparison.md").read_text() in done.stdout
    assert (tmp_path / "comparison" / "curves.png").read_bytes()[:4] == b"\x89PNG"
    done = compare(*runs, f"{tmp_path}/comparison")
    assert done.returncode == 2
    assert done.stderr.endswith("comparison holds no run: it has no config.json.\n")
    assert "Traceback" not in done.stderr
