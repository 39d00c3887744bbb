import re
import shutil
import subprocess

import pytest
import yaml

from tests.launch.conftest import LAUNCH, RUN, substitute

VALUES = {
    "NAME": "bert",
    "IMAGE": "registry/bert:1",
    "ACCELERATOR": "tpu-v5-lite-podslice",
    "TOPOLOGY": "4x4",
    "HOSTS": "4",
    "DEVICES_PER_HOST": "4",
    "FLAGS": "--config.mesh.fsdp=4 --config.train.num_steps=5",
    **RUN,
}
TEXT = (LAUNCH / "gke.yaml").read_text()


def job_set(text, **values):
    return yaml.safe_load(substitute(text, VALUES | values))


def for_gpus(text):
    """The lines marked so, with what stands after the mark."""
    lines = [re.sub(r"^( *).*# GPU: (.*)$", r"\1\2", line) for line in text.splitlines()]
    return "\n".join(line for line in lines if line.strip() != "none")


def pod(found):
    return found["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]


@pytest.mark.skipif(not shutil.which("envsubst"), reason="gettext is not there")
def test_envsubst_leaves_what_kubernetes_expands():
    for text in (TEXT, for_gpus(TEXT)):
        done = subprocess.run(["envsubst"], input=text, env=VALUES, capture_output=True, text=True, check=True)
        assert done.stdout == substitute(text, VALUES)


def test_a_pod_a_host_of_one_slice():
    found = job_set(TEXT)
    assert (found["apiVersion"], found["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert found["metadata"]["name"] == "bert"
    (workers,) = found["spec"]["replicatedJobs"]
    job = workers["template"]["spec"]
    assert (workers["replicas"], job["completions"], job["parallelism"]) == (1, 4, 4)
    assert job["completionMode"] == "Indexed"
    assert pod(found)["nodeSelector"] == {
        "cloud.google.com/gke-spot": "true",
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
    }
    assert pod(found)["containers"][0]["resources"] == {"limits": {"google.com/tpu": 4}}


def test_a_preemption_restarts_all_pods_without_a_limit():
    found = job_set(TEXT)
    job = found["spec"]["replicatedJobs"][0]["template"]["spec"]
    disruption, told = job["podFailurePolicy"]["rules"]
    assert disruption == {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert told == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [143]}}
    assert pod(found)["restartPolicy"] == "Never"  # a failure policy of pods needs it
    assert job["backoffLimit"] == 0
    policy = found["spec"]["failurePolicy"]
    assert policy["rules"] == [
        {"action": "RestartJobSetAndIgnoreMaxRestarts", "onJobFailureReasons": ["PodFailurePolicy"]}
    ]
    assert policy["maxRestarts"] > 0


def environment(container):
    return {entry["name"]: entry["value"] for entry in container["env"]}


def run(tree, container, **variables):
    """What the container's command would start."""
    command = [substitute_kubernetes(word, variables) for word in container["command"]]
    assert command[:2] == ["bash", "-c"]
    (tree.path / "command.sh").write_text(command[2])
    return tree.run("command.sh", DRY_RUN="1", **environment(container)).stdout.split()


def substitute_kubernetes(text, variables):
    return re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], text)


def test_tpu_pods_find_each_other_by_themselves(tree):
    words = run(tree, pod(job_set(TEXT))["containers"][0])
    assert words[-3:] == ["--distributed", *VALUES["FLAGS"].split()]
    assert "--config=experiments/configs/sizes.py:mini" in words


def test_gpu_pods_are_told_where_they_meet(tree):
    found = job_set(for_gpus(TEXT), ACCELERATOR="nvidia-h100-80gb", DEVICES_PER_HOST="8")
    assert pod(found)["nodeSelector"] == {
        "cloud.google.com/gke-spot": "true",
        "cloud.google.com/gke-accelerator": "nvidia-h100-80gb",
    }
    container = pod(found)["containers"][0]
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 8}}
    words = run(tree, container, JOB_COMPLETION_INDEX="3")
    # JobSet's host names: <set>-<replicated job>-<replica>-<pod>.<set>
    assert {"--coordinator=bert-workers-0-0.bert:8476", "--num_processes=4", "--process_id=3"} <= set(words)
    assert "--distributed" not in words
