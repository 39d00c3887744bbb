"""Numbers that a change of the code's shape must not move: batches, losses, gradients, scores and checkpoints.

`tests/golden/identity.json` was recorded before the code was rebuilt for many tasks. A change that is meant to move
numbers records it anew, says so in the changelog, and why:

    python -m tests.identity FOLDER > runs.json; python -m tests.identity FOLDER meshes > meshes.json
    python -m tests.test_identity runs.json meshes.json
"""

import json
import os
import pathlib
import subprocess
import sys
import zlib

import pytest

from tests import identity
from tests.identity import MESHES, RUNS

FILE = pathlib.Path("tests/golden/identity.json")
ROUNDING = 2e-5  # of a loss, on another processor or with another compiler


def shortened(results: dict) -> dict:
    """A run's results, with one number for all checksums."""
    text = json.dumps(sorted(results["checksums"].items()))
    return {"rows": results["rows"], "checksums": zlib.crc32(text.encode())}


def record(runs: pathlib.Path, meshes: pathlib.Path) -> None:
    """Writes the file."""
    found, on_meshes = json.loads(pathlib.Path(runs).read_text()), json.loads(pathlib.Path(meshes).read_text())
    found["runs"] |= on_meshes
    found["runs"] = {name: shortened(results) for name, results in found["runs"].items()}
    FILE.write_text(json.dumps(found, separators=(",", ":")) + "\n")


@pytest.fixture(scope="module")
def golden():
    return json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity")
    identity.make_corpora(folder)
    return folder


def check(found: dict, expected: dict, exact: bool) -> None:
    """Every value bit for bit, or, where that cannot be, to rounding."""
    found = shortened(found)
    assert len(found["rows"]) == len(expected["rows"])
    for row, golden_row in zip(found["rows"], expected["rows"], strict=True):
        if exact:
            assert row == golden_row
        else:
            assert row.keys() == golden_row.keys()
            losses = [name for name in row if name.endswith("loss")]
            assert {n: row[n] for n in losses} == pytest.approx({n: golden_row[n] for n in losses}, rel=ROUNDING)
    if exact:
        assert found["checksums"] == expected["checksums"]


def test_batches_are_what_they_were(golden, folder):
    """On every machine: they are made of integers."""
    assert identity.batches(folder) == golden["batches"]


@pytest.mark.parametrize("name", RUNS)
def test_runs_are_what_they_were(golden, folder, name):
    found = identity.run_all(folder, {name: RUNS[name]})[name]
    check(found, golden["runs"][name], exact=identity.machine() == golden["machine"])


def test_a_resumed_run_is_what_it_was(golden, folder):
    for stop in (4, None):
        found = identity.run_all(folder, {"resumed": RUNS["bert"] | {"train.stop_after": stop}})["resumed"]
    check(found, golden["runs"]["bert"], exact=identity.machine() == golden["machine"])


def test_runs_on_meshes_are_what_they_were(golden, folder):
    done = subprocess.run(
        [sys.executable, "-m", "tests.identity", str(folder), "meshes"],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == MESHES.keys()
    for name, results in found.items():
        check(results, golden["runs"][name], exact=identity.machine() == golden["machine"])


if __name__ == "__main__":
    record(*map(pathlib.Path, sys.argv[1:]))
