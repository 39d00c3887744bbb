"""Properties of all launchers."""

import re
import shutil
import subprocess

import pytest

from tests.launch.conftest import LAUNCH, RUN

PAGE = (LAUNCH.parent / "docs" / "clusters.md").read_text()


@pytest.mark.parametrize("name", ["gke.yaml", "skypilot.yaml"])
def test_a_launcher_is_short(name):
    assert len((LAUNCH / name).read_text().splitlines()) < 60


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not there")
def test_shellcheck_finds_nothing():
    subprocess.run(["shellcheck", *sorted(LAUNCH.glob("*.sh"))], check=True)


@pytest.mark.parametrize("script", ["processes.sh", "slurm.sh"])
@pytest.mark.parametrize("missing", list(RUN))
def test_a_missing_variable_is_named(tree, script, missing):
    done = tree.run(f"launch/{script}", DRY_RUN="1", **{name: value for name, value in RUN.items() if name != missing})
    assert done.returncode != 0
    assert f"{missing}: must be set" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("script", ["processes.sh", "slurm.sh"])
def test_a_missing_environment_is_a_sentence(tree, script):
    done = tree.run(f"launch/{script}", **RUN)
    assert done.returncode == 1
    assert re.fullmatch(r"error: there is no \.venv here: run bash launch/setup\.sh( cuda)?\.\n", done.stderr)


@pytest.mark.parametrize("name", ["processes.sh", "slurm.sh", "tpu_vm.sh", "gke.yaml", "skypilot.yaml"])
def test_the_page_names_it_and_its_variables(name):
    assert f"launch/{name}" in PAGE
    text = (LAUNCH / name).read_text()
    for variable in set(re.findall(r"\$\{([A-Z]\w+)", text)) - {"BASH_SOURCE", "BASH_REMATCH", "DRY_RUN"}:
        assert variable in PAGE or variable.startswith(("SLURM_", "SKYPILOT_")), variable
