import ast
import importlib.metadata
import re
import shutil

import pytest
from packaging.requirements import Requirement

from tests.launch.conftest import LAUNCH

ROOT = LAUNCH.parent
# Makes environments that hold a copy of itself, and writes down what pip was asked for.
PYTHON = """
import pathlib, shutil, sys
if sys.argv[1:3] == ["-m", "venv"]:
    (pathlib.Path(sys.argv[3]) / "bin").mkdir(parents=True)
    shutil.copy(__file__, pathlib.Path(sys.argv[3]) / "bin" / "python")
elif sys.argv[1:4] == ["-m", "pip", "install"]:
    with open("installed", "a") as file:
        print(*sys.argv[4:], file=file)
"""


@pytest.fixture
def clone(tree):
    for name in ("setup.py", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tree.path)
    tree.program("bin/python3", PYTHON)
    return tree


def installed(clone):
    return (clone.path / "installed").read_text().splitlines()


def extras():
    call = next(node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(node, ast.Call))
    return ast.literal_eval(next(word.value for word in call.keywords if word.arg == "extras_require"))


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {re.sub("[-_.]+", "-", name).lower(): version for name, version in pairs}


@pytest.mark.parametrize("asked", ["cuda", "tpu", "tpu,gcs", "test,parity", ""])
def test_extras_are_installed_under_the_constraints(clone, asked):
    assert clone.run("launch/setup.sh", *[asked] * bool(asked)).returncode == 0
    (line,) = installed(clone)
    assert line.endswith(f"--constraint constraints.txt --editable .{f'[{asked}]' * bool(asked)}")
    assert set(filter(None, asked.split(","))) <= extras().keys()


def test_a_second_time_is_quiet_and_does_nothing(clone):
    for _ in range(2):
        clone.run("launch/setup.sh", "tpu")
    done = clone.run("launch/setup.sh", "tpu")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(installed(clone)) == 1


@pytest.mark.parametrize(("extra", "jax_extra"), [("cuda", "cuda13"), ("tpu", "tpu")])
def test_an_accelerators_packages_are_pinned_as_jax_wants_them(extra, jax_extra):
    assert extras()[extra] == [f"jax[{jax_extra}]"]
    if importlib.metadata.version("jax") != pins()["jax"]:
        pytest.skip("the pins are for another jax")
    wanted = [Requirement(text) for text in importlib.metadata.requires("jax")]
    wanted = [need for need in wanted if need.marker and need.marker.evaluate({"extra": jax_extra})]
    assert wanted
    for need in wanted:
        assert pins()[need.name] in need.specifier, need


def test_neither_accelerator_comes_by_itself():
    core = (ROOT / "setup.py").read_text().split("install_requires")[1].split("extras_require")[0]
    assert not re.search("libtpu|cuda|nvidia", core)
