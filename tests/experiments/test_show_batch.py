import subprocess
import sys

from bert_jax.tasks.pretraining import pretrain


def show(*flags):
    command = [sys.executable, "-m", "experiments.show_batch", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_it_shows_any_step_also_one_that_is_still_to_come(config, tmp_path):
    config.train.stop_after = 1
    pretrain(config, tmp_path / "run")
    done = show(f"--workdir={tmp_path}/run", "--step=9", "--rows=2:4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("step 9: 8 rows × 64 tokens")
    assert [f"row {i}:" in done.stdout for i in range(5)] == [False, False, True, True, False]
    assert "{[MASK]: " in done.stdout
    for flags, message in (
        (("--step=1", "--rows=8:9"), "the batch has rows 0 to 7"),
        (("--step=1", "--rows=some"), "of the form FIRST:END"),
        (("--step=1", f"--corpus={tmp_path}/nowhere"), "There is no corpus"),
    ):
        done = show(f"--workdir={tmp_path}/run", *flags)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
