import os
import pathlib
import shutil
import subprocess

import pytest

SCRIPTS = sorted(pathlib.Path("launch").glob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_sound_and_short(script):
    subprocess.run(["bash", "-n", script], check=True)
    assert len(script.read_text().split("\n")) < 60
    assert os.access(script, os.X_OK)


def test_set_up_asks_for_a_python_that_fits(tmp_path):
    shutil.copytree("launch", tmp_path / "launch")
    done = subprocess.run(
        ["bash", str(tmp_path / "launch" / "setup.sh")],
        env=os.environ | {"PYTHON": "false"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: Python 3.11 or 3.12 is needed")
    assert not (tmp_path / ".venv").exists()


def test_faults_are_injected_instead_of_tests_if_asked_for(tree):
    (tree.path / "launch" / "setup.sh").write_text("")
    for name in ("ruff", "pyrefly", "python"):
        tree.program(f".venv/bin/{name}", f"import sys; print('{name}', *sys.argv[1:])")
    given = ["--kinds=runs", "--count=3"]
    done = tree.run("launch/test.sh", "--survival", *given)
    assert (done.returncode, done.stdout) == (0, "python -m tests.survival --kinds=runs --count=3\n")
    assert tree.run("launch/test.sh", "-x").stdout.splitlines()[-1] == "python -m pytest -n 2 --dist loadfile -x"


def test_installed_versions_are_the_tested_ones():
    import importlib.metadata

    pinned = dict(line.split("==") for line in pathlib.Path("constraints.txt").read_text().split("\n") if "==" in line)
    for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tokenizers", "numpy"):
        assert importlib.metadata.version(name) == pinned[name]
