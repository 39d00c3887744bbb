import yaml

from tests.launch.conftest import LAUNCH, RUN

TASK = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())


def test_lost_spot_nodes_are_replaced():
    resources = TASK["resources"]
    assert resources["use_spot"] is True
    assert resources["job_recovery"] == {"max_restarts_on_errors": 3, "recover_on_exit_codes": [143]}


def test_what_has_no_value_must_be_given():
    assert {name for name, value in TASK["envs"].items() if value is None} == set(RUN)


def test_nodes_meet_at_the_first(tree):
    (tree.path / "run.sh").write_text(TASK["run"])
    nodes = {"SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2\n10.0.0.3", "SKYPILOT_NUM_NODES": "3", "SKYPILOT_NODE_RANK": "2"}
    words = tree.run("run.sh", DRY_RUN="1", FLAGS="--a=1 --b=2", **RUN, **nodes).stdout.split()
    assert words[-5:] == ["--coordinator=10.0.0.1:8476", "--num_processes=3", "--process_id=2", "--a=1", "--b=2"]


def test_setup_is_that_of_gpus():
    assert TASK["setup"] == "bash launch/setup.sh cuda,gcs"
    assert TASK["workdir"] == "."
