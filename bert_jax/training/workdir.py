"""The folder of one run, and what makes a second start of it the same run.

workdir/
  config.json      the complete config, the chosen number of steps included
  run.json         what else decides the result: the corpus' fingerprint, versions
  tokenizer/       the vocabulary
  metrics.jsonl, tensorboard/, checkpoints/
  report.md, report/      written at the end
"""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Iterable
from typing import Any

from etils import epath

from bert_jax import configuration, storage
from bert_jax.errors import ConfigError

PACKAGES = ("bert_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tokenizers")


class Workdir:
    """Reads and writes the small files of a run.

    Args:
      path: made if missing.

    Raises:
      ConfigError: it cannot be made or written.
    """

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path).absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--workdir={path} cannot be made: {error.strerror}.") from None

    @property
    def checkpoints(self) -> epath.Path:
        return self.path / "checkpoints"

    def load_config(self, cls: type) -> Any | None:
        """The config that this run was started with; None for a new one."""
        file = self.path / "config.json"
        return configuration.from_dict(cls, storage.read_json(file)) if file.exists() else None

    def save_config(self, config: Any) -> None:
        """Writes `config.json`."""
        storage.write_json(self.path / "config.json", dataclasses.asdict(config))

    def check_unchanged(self, given: Any, stored: Any, may_change: Iterable[str], chosen: Iterable[str]) -> None:
        """Refuses another config than the run's.

        Args:
          given: the config of this start.
          stored: the config of the first one.
          may_change: dotted fields that do not decide the result.
          chosen: dotted fields that were None in the given config, and were filled in.

        Raises:
          ConfigError: each field that differs, with its old and new value.
        """
        old, new = configuration.fields(stored), configuration.fields(given)
        changed = [
            name
            for name in new
            if new[name] != old[name] and name not in may_change and not (name in chosen and new[name] is None)
        ]
        if changed:
            rows = "; ".join(f"{name} was {old[name]!r} and is {new[name]!r}" for name in changed)
            raise ConfigError(f"{self.path} holds a run of another config: {rows}. Choose another --workdir.")

    def check_same_data(self, facts: dict[str, str]) -> None:
        """Keeps `facts` (such as fingerprints) in `run.json`, or compares them with those kept at the first start.

        Raises:
          ConfigError: one differs.
        """
        file = self.path / "run.json"
        if file.exists():
            self.compare_data(facts)
        versions = {package: _version(package) for package in PACKAGES} | {"python": platform.python_version()}
        storage.write_json(file, {"facts": facts, "versions": versions})

    def compare_data(self, facts: dict[str, str]) -> None:
        """Compares `facts` with those of the first start; writes nothing.

        Raises:
          ConfigError: one differs.
        """
        stored = storage.read_json(self.path / "run.json")["facts"]
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


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
