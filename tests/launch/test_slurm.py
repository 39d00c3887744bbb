import re
import shlex
import signal

import pytest

from tests.launch.conftest import RUN

# srun passes SIGTERM on to its tasks and ends with the highest of their codes.
SRUN = """
import os, signal, sys, time
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
print("srun", *sys.argv[1:], flush=True)
while os.environ["TASKS"] == "train" and not heard:
    time.sleep(0.01)
if heard:
    time.sleep(0.3)
    print("saved after", len(heard), flush=True)
sys.exit(0 if heard else int(os.environ["TASKS"]))
"""


@pytest.fixture
def cluster(tree):
    tree.program("bin/srun", SRUN)
    tree.program("bin/scontrol", "import sys; print('scontrol', *sys.argv[1:])")
    tree.program(".venv/bin/python", "")
    return tree


def options(text):
    return dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", text, re.MULTILINE))


def test_dry_run_prints_options_step_and_what_a_stop_does(tree):
    done = tree.run("launch/slurm.sh", "--config.mesh.fsdp=8", DRY_RUN="1", SLURM_JOB_ID="77", **RUN)
    assert done.returncode == 0
    *_, step, stop = done.stdout.splitlines()
    words = shlex.split(step)
    assert words[:3] == ["srun", "--kill-on-bad-exit=1", "--label"]
    assert words[4:7] == [".venv/bin/python", "-m", "experiments.pretrain"]
    assert words[-3:] == ["--config.data.corpus=corpora/a b", "--distributed", "--config.mesh.fsdp=8"]
    assert stop == "when stopped, or hung: scontrol requeue 77"
    assert options(done.stdout)["signal"] == "B:TERM@120"


def test_a_task_a_gpu_that_sees_its_whole_node(tree):
    found = options((tree.path / "launch" / "slurm.sh").read_text())
    assert found["ntasks-per-node"] == found["gpus-per-node"]
    assert not {"gpus-per-task", "gpu-bind", "ntasks-per-gpu"} & found.keys()
    assert "requeue" in found


def test_options_stand_before_the_first_command(tree):
    """sbatch reads no options after it."""
    lines = (tree.path / "launch" / "slurm.sh").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first:])


def test_a_finished_run_is_not_requeued(cluster):
    done = cluster.run("launch/slurm.sh", TASKS="0", SLURM_JOB_ID="77", **RUN)
    assert done.returncode == 0
    assert "scontrol" not in done.stdout


def test_an_error_is_not_requeued(cluster):
    done = cluster.run("launch/slurm.sh", TASKS="3", SLURM_JOB_ID="77", **RUN)
    assert done.returncode == 3
    assert "scontrol" not in done.stdout


def test_preempted_tasks_are_requeued(cluster):
    done = cluster.run("launch/slurm.sh", TASKS="143", SLURM_JOB_ID="77", **RUN)
    assert done.returncode == 0
    assert "scontrol requeue 77" in done.stdout


@pytest.mark.parametrize(("restarts", "again"), [("", True), ("19", True), ("20", False)])
def test_a_run_that_hung_is_requeued_so_many_times(cluster, restarts, again):
    counted = {"SLURM_RESTART_COUNT": restarts} if restarts else {}
    done = cluster.run("launch/slurm.sh", TASKS="75", SLURM_JOB_ID="77", **counted, **RUN)
    assert ("scontrol requeue 77" in done.stdout) == again
    assert done.returncode == (0 if again else 75)


def test_near_the_time_limit_tasks_save_before_the_job_is_requeued(cluster):
    process = cluster.start("launch/slurm.sh", TASKS="train", SLURM_JOB_ID="77", **RUN)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert out.splitlines() == ["saved after 1", "scontrol requeue 77"]
    assert process.returncode == 0


def test_what_cannot_be_requeued_does_not_look_finished(cluster):
    cluster.program("bin/scontrol", "raise SystemExit(1)")
    assert cluster.run("launch/slurm.sh", TASKS="143", **RUN).returncode == 143


def test_it_runs_where_it_was_submitted(cluster):
    done = cluster.run("launch/slurm.sh", TASKS="0", SLURM_SUBMIT_DIR=str(cluster.path / "bin"), **RUN)
    assert done.returncode == 1
    assert "submit from the repository's root" in done.stderr
