"""A copy of the launchers beside programs of the tests' own, which are found instead of the real ones."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

LAUNCH = pathlib.Path(__file__).parents[2] / "launch"
RUN = {"WORKDIR": "runs/a", "CORPUS": "corpora/a b", "CONFIG": "experiments/configs/sizes.py:mini"}


@pytest.fixture(autouse=True)
def signals_are_heard():
    """Under nohup or in a script's background some are ignored, which a shell cannot undo by its own traps."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT)}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Tree:
    """A folder with `launch/` and `bin/`, the latter first on the PATH."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        shutil.copytree(LAUNCH, path / "launch")
        (path / "bin").mkdir()

    def program(self, name: str, text: str) -> None:
        """Writes an executable of Python: `.venv/bin/python`, or `bin/gcloud` and the like."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!{sys.executable}\n{text}")
        file.chmod(0o755)

    def start(self, script: str, *arguments: str, **variables: str) -> subprocess.Popen:
        return subprocess.Popen(
            ["bash", script, *arguments],
            cwd=self.path,
            env={"PATH": f"{self.path / 'bin'}:{os.environ['PATH']}", "HOME": str(self.path)} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        process = self.start(script, *arguments, **variables)
        try:
            out, err = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(script, process.returncode, out, err)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "tree")


def substitute(text: str, values: dict[str, str]) -> str:
    """What `envsubst` does, but for a variable without a value, which is an error here."""
    return re.sub(r"\$\{?([A-Za-z_]\w*)\}?", lambda match: values[match[1]], text)
