import json
import shlex
import subprocess

import pytest

from tests.launch.conftest import RUN

SLICE = {
    "TPU_NAME": "bert",
    "ZONE": "zone-b",
    "ACCELERATOR_TYPE": "v5litepod-16",
    "RUNTIME_VERSION": "v2-alpha-tpuv5-lite",
    "CONFIG": RUN["CONFIG"],
    "WORKDIR": "gs://bucket/runs/a",
    "CORPUS": "gs://bucket/corpora/a",
}
# Writes down its arguments; a training command ends with the next of CODES, `describe` says STATE.
GCLOUD = """
import json, os, pathlib, sys
log = pathlib.Path("calls.jsonl")
calls = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
with log.open("a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
if "describe" in sys.argv:
    print(os.environ["STATE"])
train = lambda call: "pretrain" in call[-1] or "processes.sh" in call[-1]
if train(sys.argv):
    sys.exit(int(os.environ["CODES"].split()[sum(map(train, calls))]))
if "create" in sys.argv and sum("create" in call for call in calls) in map(int, os.environ.get("FULL", "").split()):
    sys.exit(1)
"""


@pytest.fixture
def cloud(tree):
    subprocess.run(["git", "init", "-q"], cwd=tree.path, check=True)
    subprocess.run(["git", "add", "launch"], cwd=tree.path, check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *author, "commit", "-qm", "launchers"], cwd=tree.path, check=True)
    tree.program("bin/gcloud", GCLOUD)
    tree.program("bin/sleep", "")
    return tree


def verbs(cloud):
    calls = [json.loads(line) for line in (cloud.path / "calls.jsonl").read_text().splitlines()]
    named = [next(word for word in call if word in ("create", "scp", "ssh", "describe", "delete")) for call in calls]
    return " ".join(named)


ROUND = "create scp ssh ssh"


def commands(done):
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def test_dry_run(cloud):
    archive, create, copy, prepare, train, delete = commands(
        cloud.run("launch/tpu_vm.sh", "--config.mesh.fsdp=4", "--x=a b", DRY_RUN="1", SPOT="1", **SLICE)
    )
    here = ["bert", "--zone=zone-b"]
    tpu_vm = ["gcloud", "compute", "tpus", "tpu-vm"]
    assert archive[:2] == ["git", "archive"]
    assert create == [
        *[*tpu_vm, "create", *here, "--accelerator-type=v5litepod-16", "--spot"],
        "--version=v2-alpha-tpuv5-lite",
    ]
    assert copy[:5] == [*tpu_vm, "scp"]
    assert copy[6:] == ["bert:bert_jax.tar", "--zone=zone-b", "--worker=all"]
    assert prepare[:8] == train[:8] == [*tpu_vm, "ssh", *here, "--worker=all"]
    assert "launch/setup.sh tpu,gcs" in prepare[8]
    assert shlex.split(train[8].removeprefix("--command=")) == [
        *["cd", "bert_jax", "&&", "WORKDIR=gs://bucket/runs/a", "CORPUS=gs://bucket/corpora/a"],
        *["CONFIG=experiments/configs/sizes.py:mini", "bash", "launch/processes.sh", "--distributed"],
        *["--config.mesh.fsdp=4", "--x=a b"],
    ]
    assert delete == [*tpu_vm, "delete", *here, "--quiet"]
    assert not (cloud.path / "calls.jsonl").exists()


def test_dry_run_of_a_queued_resource(cloud):
    _, create, *_, delete = commands(cloud.run("launch/tpu_vm.sh", DRY_RUN="1", QUEUED="1", **SLICE))
    queued = ["gcloud", "compute", "tpus", "queued-resources"]
    assert create == [
        *[*queued, "create", "bert", "--zone=zone-b", "--node-id=bert", "--accelerator-type=v5litepod-16"],
        "--runtime-version=v2-alpha-tpuv5-lite",
    ]
    assert delete == [*queued, "delete", "bert", "--zone=zone-b", "--force", "--quiet"]


def test_folders_of_a_machine_are_refused(cloud):
    done = cloud.run("launch/tpu_vm.sh", DRY_RUN="1", **(SLICE | {"WORKDIR": "runs/a"}))
    assert done.returncode == 1
    assert done.stderr.startswith("error: WORKDIR and CORPUS must be in buckets")


def test_a_queued_resource_that_fails_is_not_waited_for(cloud):
    assert cloud.run("launch/tpu_vm.sh", CODES="0", STATE="FAILED", QUEUED="1", **SLICE).returncode == 1
    assert verbs(cloud).replace(" describe", "") == "create delete"


def test_a_queued_resource_is_waited_for(cloud):
    assert cloud.run("launch/tpu_vm.sh", CODES="0", STATE="ACTIVE", QUEUED="1", **SLICE).returncode == 0
    assert verbs(cloud) == f"create describe {ROUND[7:]} delete"


def test_a_finished_run_ends_with_the_slice_deleted(cloud):
    assert cloud.run("launch/tpu_vm.sh", CODES="0", STATE="READY", **SLICE).returncode == 0
    assert verbs(cloud) == f"{ROUND} delete"


@pytest.mark.parametrize(("code", "state"), [(143, "READY"), (255, "PREEMPTED"), (134, "PREEMPTED"), (134, "GONE")])
def test_a_preemption_starts_another_slice(cloud, code, state):
    assert cloud.run("launch/tpu_vm.sh", CODES=f"{code} 0", STATE=state, **SLICE).returncode == 0
    assert verbs(cloud).replace(" describe", "") == f"{ROUND} delete {ROUND} delete"


def test_a_run_that_hung_is_started_again_so_many_times(cloud):
    assert cloud.run("launch/tpu_vm.sh", CODES="75 0", STATE="READY", **SLICE).returncode == 0
    assert verbs(cloud) == f"{ROUND} delete {ROUND} delete"
    (cloud.path / "calls.jsonl").unlink()
    assert cloud.run("launch/tpu_vm.sh", CODES="75 75", STATE="READY", MAX_RESTARTS="1", **SLICE).returncode == 75
    assert verbs(cloud) == f"{ROUND} delete {ROUND} delete"


def test_an_error_of_the_program_is_not_repeated_and_costs_nothing_more(cloud):
    assert cloud.run("launch/tpu_vm.sh", CODES="2", STATE="READY", **SLICE).returncode == 2
    assert verbs(cloud) == f"{ROUND} describe delete"


def test_no_capacity_is_waited_for_after_a_preemption_only(cloud):
    assert cloud.run("launch/tpu_vm.sh", CODES="143 0", FULL="1 2", STATE="", **SLICE).returncode == 0
    assert verbs(cloud) == f"{ROUND} delete create delete create delete {ROUND} delete"
    (cloud.path / "calls.jsonl").unlink()
    assert cloud.run("launch/tpu_vm.sh", CODES="0", FULL="0", STATE="", **SLICE).returncode == 1
    assert verbs(cloud) == "create"  # a slice of that name may be somebody's: it is not deleted
