"""The folder of one run, and what makes a second start of it the same run.

workdir/
  config.json      the complete config, the chosen number of steps included
  run.json         what else decides the result: the corpus' fingerprint; versions; each start of the run
  tokenizer/       the vocabulary
  metrics.jsonl, tensorboard/, checkpoints/
  report.md, report/      written at the end
"""

import dataclasses
import datetime
import importlib.metadata
import pathlib
import platform
import subprocess
from collections.abc import Callable
from typing import Any

import jax
from etils import epath

from bert_jax import configuration, storage
from bert_jax.errors import BertJaxError, ConfigError
from bert_jax.training import devices

PACKAGES = ("bert_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tokenizers")


class Workdir:
    """Reads and writes the small files of a run; of several processes, the first is to write for all.

    Args:
      path: made by `begin` if missing.
    """

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path).absolute()

    def check_writable(self) -> None:
        """Tries, and leaves no trace.

        Raises:
          ConfigError: the folder cannot be made, or not be written.
        """
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"--workdir={self.path} cannot be written ({error.strerror}): choose another folder."
            ) from None
        finally:
            for folder in missing:
                if folder.exists():
                    folder.rmdir()

    @property
    def checkpoints(self) -> epath.Path:
        return self.path / "checkpoints"

    def load_config(self, cls: type) -> Any | None:
        """The config that this run was started with; None for a new one.

        Raises:
          ConfigError: it cannot be read back.
        """
        file = self.path / "config.json"
        if not file.exists():
            if self.latest_step() is not None:
                raise ConfigError(
                    f"{self.path} has checkpoints but no config.json: restore it, from one's folder about/."
                )
            return None
        try:
            return configuration.from_dict(cls, storage.read_json(file))
        except BertJaxError as error:
            raise ConfigError(
                f"{file} is no config of this version: {error} The folder about/ of each checkpoint holds a copy."
            ) from None

    def latest_step(self) -> int | None:
        """That of the newest checkpoint, whole or not."""
        if not self.checkpoints.exists():
            return None
        return max((int(p.name) for p in self.checkpoints.iterdir() if p.name.isdigit()), default=None)

    def begin(self, config: Any, facts: dict[str, str], save: Callable[[epath.Path], None]) -> None:
        """Writes `config.json`, `run.json` and the model's small files, of a run that `compare_data` has passed.

        Args:
          config: complete.
          facts: such as fingerprints.
          save: writes the model's small files, such as its tokenizer, into a folder.
        """
        file = self.path / "run.json"
        self.path.mkdir(parents=True, exist_ok=True)
        storage.write_json(self.path / "config.json", dataclasses.asdict(config))
        starts = storage.read_json(file).get("starts", []) if file.exists() else []
        versions = {package: version(package) for package in PACKAGES} | {"python": platform.python_version()}
        storage.write_json(file, {"facts": facts, "versions": versions, "starts": starts})
        save(self.path)

    def add_start(self, step: int, command: str, matrix_peak: float) -> None:
        """Notes this start in `run.json`: from which step, when, by which command and code, on what."""
        about = storage.read_json(self.path / "run.json")
        about["starts"].append(
            {
                "step": step,
                "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "command": command,
                "git_commit": _git_commit(),
                "devices": devices.describe(),
                "num_devices": jax.device_count(),
                "num_processes": jax.process_count(),
                "matrix_peak": matrix_peak,
                "jax": version("jax"),
            }
        )
        storage.write_json(self.path / "run.json", about)

    def compare_data(self, facts: dict[str, str]) -> None:
        """Compares `facts` with those of the first start, if there was one; writes nothing.

        Raises:
          ConfigError: one differs, or nothing tells.
        """
        file = self.path / "run.json"
        if not file.exists() and self.latest_step() is None:
            return
        about = storage.read_json(file) if file.exists() else None
        if not isinstance(about, dict) or not isinstance(stored := about.get("facts"), dict):
            raise ConfigError(f"{file} does not say which data the run was started on: restore it from a checkpoint.")
        for name, value in facts.items():
            if stored.get(name) != value:
                raise ConfigError(
                    f"{self.path} was started on other data ({name} was {stored.get(name)}, is {value}):"
                    f" give the data of the first start, or choose another --workdir."
                )

    def assets(self) -> dict[str, bytes]:
        """The small files that belong into each checkpoint, by their path in the workdir."""
        files = [self.path / "config.json", self.path / "run.json", *sorted((self.path / "tokenizer").iterdir())]
        return {str(file.relative_to(self.path)): file.read_bytes() for file in files}


def version(package: str) -> str:
    """That of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _git_commit() -> str | None:
    """The commit that this code is of, and whether it was changed since; None outside of a checkout."""
    git = ["git", "-C", str(pathlib.Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + (" with changes" if changes.stdout.strip() else "")
