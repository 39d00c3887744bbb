"""The workdir: the folder of one run, with everything that a second start needs to be the same run.

workdir/
  config.json      the task's name and the complete config, including the number of steps that was chosen
  run.json         fingerprints of the data, versions, each start of the run, its bad steps, and the scores that it logs
  metrics.jsonl, tensorboard/, checkpoints/
  report.md, report/      written at the end
  and the small files of the model, such as tokenizer/
  lock-*.json      while a run is under way: the process that holds the folder
"""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import pathlib
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from etils import epath

from bert_jax import configuration, lock, storage
from bert_jax.errors import BertJaxError, ConfigError
from bert_jax.forms import problem
from bert_jax.training import processes
from bert_jax.training.planning import devices
from bert_jax.training.task import Config, Task, TaskKind
from bert_jax.training.workdir.checkpoints import unusable_in
from bert_jax.training.workdir.reading import steps_in
from bert_jax.training.workdir.run_file import RUN_FILE, batch_of, read_record

MODEL_FILE = "model.json"  # describes a model without a run, in place of the run's config.json
PACKAGES = ("bert_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tokenizers")


class Workdir:
    """Reads and writes the small files of a run. Only the first process should write.

    Args:
      path: the folder; `begin` makes it if it does not exist.

    Attributes:
      check_held: raises LockError if this process holds the folder and it has been moved or removed since.
    """

    def __init__(self, path: epath.PathLike):
        self.path = epath.Path(path).expanduser().absolute()
        self.check_held: Callable[[], None] = lambda: None

    def check_writable(self) -> None:
        """Checks that files can be written to the folder, and leaves none behind.

        Raises:
          ConfigError: the folder cannot be made or written.
        """
        if found := unusable_in(self.path):
            path = str(self.path).encode(errors="backslashreplace").decode()
            raise ConfigError(f"--workdir={path} has {found} in it, with which checkpoints cannot be saved: rename it.")
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = storage.temporary_path(self.path / ".writable")  # never a file that is somebody's
            storage.create(probe).close()
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"--workdir={self.path} cannot be written ({error.strerror}): choose another folder."
            ) from None
        finally:
            for folder in missing:
                if folder.exists():
                    folder.rmdir()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keeps other runs out of the folder while the body runs, and leaves no empty folders behind.

        Raises:
          LockError: another process trains in it, or it cannot be written.
        """
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            with lock.hold(self.path, "a run") as self.check_held:
                yield
        finally:
            with contextlib.suppress(OSError, ValueError):  # something was written: the rest is no longer empty
                for folder in missing:
                    if folder.exists():
                        folder.rmdir()

    @property
    def checkpoints(self) -> epath.Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def load_config(self, kind: TaskKind[Config]) -> Config | None:
        """Reads the config that this run was started with; None for a new run.

        Raises:
          ConfigError: the config cannot be read, or is of another task.
        """
        file = self.path / "config.json"
        if not file.exists():
            if (self.path / MODEL_FILE).exists():
                raise ConfigError(
                    f"{self.path} holds a model without a run: give it as train.init_from, and choose another"
                    " --workdir."
                )
            if self.latest_step() is not None:
                raise ConfigError(
                    f"{self.path} has checkpoints but no config.json: restore it from the folder about/ of one of them."
                )
            return None
        try:
            values = storage.read_json(file)
            name = task_of(values)
            if name == kind.name:
                return configuration.from_dict(kind.config_class, values["config"])
        except BertJaxError as error:
            raise ConfigError(
                f"{file} is not a config of this version: {error} The folder about/ of each checkpoint holds a copy."
            ) from None
        raise ConfigError(f"{self.path} holds a run of the task {name}, not {kind.name}: choose another folder.")

    def run_config(self, kind: TaskKind[Config]) -> Config:
        """Reads the config of an existing run.

        Raises:
          ConfigError: there is no run in the folder, or it is of another task.
        """
        check_is_run(self.path)
        config = self.load_config(kind)
        assert config is not None  # the file is there
        return config

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, even if it is damaged; None without checkpoints."""
        return max(steps_in(self.checkpoints), default=None)

    def checkpoint_steps(self) -> list[int]:
        """Returns the steps of all checkpoints, damaged ones too, in ascending order."""
        return steps_in(self.checkpoints)

    def check_checkpoints(self) -> None:
        """Checks that the checkpoints which earlier starts wrote are not all gone.

        Raises:
          ConfigError: they are: the run would start over, and its metrics would be cut.
        """
        if self.latest_step() is not None:
            return
        starts = self.record().get("starts") or []
        # A start makes the folder. In a bucket, there are no empty ones.
        is_local = not storage.is_remote(self.path)
        # A start that forks another run takes its first step from there.
        found = [(0 if "forked_from" in start else start["step"], start.get("first_checkpoint")) for start in starts]
        steps = [step for both in found for step in both if step]
        if steps or (starts and is_local and not self.checkpoints.exists()):
            which = f", and a checkpoint of step {max(steps)}" if steps else ""
            raise ConfigError(
                f"{self.checkpoints} holds no checkpoint, but run.json tells of {len(starts)} earlier"
                f" start{'s' if len(starts) > 1 else ''}{which}: bring the folder back (is a disk not mounted?), choose"
                f" another --workdir, or delete {self.path}/run.json to start over."
            )

    def begin(
        self, kind: str, config: Any, task: Task, fingerprints: dict[str, str], forked: Mapping[str, Any] | None = None
    ) -> None:
        """Writes `config.json`, `run.json` and the model's small files. Call `compare_data` first.

        Args:
          kind: the name of the task.
          config: the complete config.
          task: the task.
          fingerprints: identify the data; those of earlier starts are kept.
          forked: what is kept of the `run.json` of the run that this one is forked from at this start.

        Raises:
          WriteError: a file cannot be written.
        """
        file, before = self.path / RUN_FILE, {**(forked or {}), **{k: v for k, v in self.record().items() if v}}
        about = {
            "summary": task.summary,
            "scores": [dataclasses.asdict(score) for score in task.scores],
            "files": list(task.files),
            "data_fingerprints": (before.get("data_fingerprints") or {}) | fingerprints,
            "versions": {package: version(package) for package in PACKAGES} | {"python": platform.python_version()},
            "earlier_starts": before.get("earlier_starts") or [],
            "starts": before.get("starts") or [],
            "bad_steps": before.get("bad_steps") or [],
        }
        with storage.writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self.remove_unfinished()
            storage.write_json(self.path / "config.json", {"task": kind, "config": dataclasses.asdict(config)})
            storage.write_json(file, about)
            for name, content in task.files.items():
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                storage.write_bytes(self.path / name, content)

    def remove_unfinished(self) -> None:
        """Removes files that a killed start of the run was writing. Call this only while the folder is held."""
        lock.remove_leftovers(self.path)
        for step in steps_in(self.checkpoints):
            lock.remove_leftovers(self.checkpoints / str(step) / "about")

    def files(self) -> dict[str, bytes]:
        """Returns the model's small files as the first start wrote them; empty before that."""
        names = self.record().get("files") or []
        return {name: (self.path / name).read_bytes() for name in names if (self.path / name).exists()}

    def add_start(self, step: int, command: str, matrix_peak: float, forked_from: str = "") -> None:
        """Records this start in `run.json`: its step, time, command, code version, devices, and the run it forks."""
        about = self.record()
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
            | ({"forked_from": forked_from} if forked_from else {})
        )
        with storage.writing(self.path):
            storage.write_json(self.path / RUN_FILE, about)

    def add_first_checkpoint(self, step: int) -> None:
        """Records in `run.json` that this start has a checkpoint on disk. Only the first process writes."""
        if processes.is_first():
            about = self.record()
            if starts := about.get("starts"):  # it may have been deleted meanwhile, to start over
                starts[-1]["first_checkpoint"] = step
                with storage.writing(self.path):
                    storage.write_json(self.path / RUN_FILE, about)

    def add_skipped(self, step: int, why: str) -> None:
        """Records in `run.json` a step that was passed over. Only the first process writes."""
        if not processes.is_first():
            return
        known = self.record().get("bad_steps") or []
        # A start after a kill repeats the step.
        if not any(one["step"] == step and "rewound_to" not in one for one in known):
            self._add_bad_step({"step": step, "why": why})

    def rewound_to(self, checkpoint_every: int) -> tuple[int, int]:
        """Returns the step of the checkpoint that a bad step leads back to, and how many times one has.

        It is the newest of the multiples of `checkpoint_every`, so that it does not depend on interruptions.

        Raises:
          ConfigError: there are no checkpoints any more.
        """
        self.check_checkpoints()
        steps = steps_in(self.checkpoints)
        to = max([step for step in steps if step % checkpoint_every == 0] or steps)
        return to, sum(one.get("rewound_to") == to for one in self.record().get("bad_steps") or [])

    def rewind(self, step: int, why: str, to: int) -> None:
        """Removes the checkpoints after a step, and records that the run passes over all batches up to a bad step's.

        Only the first process should call it, while no checkpoints are open.

        Args:
          step: the bad step.
          why: what is wrong with it.
          to: the step of the checkpoint to go back to.

        Raises:
          WriteError: something cannot be removed or written.
        """
        # Removed first: a start in between repeats the bad step, and comes back here.
        with storage.writing(self.checkpoints):
            for newer in steps_in(self.checkpoints):
                if newer > to:
                    (self.checkpoints / str(newer)).rmtree()
        record = self.record()
        batch = batch_of(record, step - 1)
        batches = batch + 1 - batch_of(record, to)
        self._add_bad_step({"step": step, "why": why, "batch": batch + 1, "rewound_to": to, "batches": batches})

    def _add_bad_step(self, entry: dict[str, Any]) -> None:
        about = self.record()
        about["bad_steps"] = [*(about.get("bad_steps") or []), entry]
        with storage.writing(self.path):
            storage.write_json(self.path / RUN_FILE, about)

    def compare_data(self, fingerprints: dict[str, str], phases: int | None = None) -> None:
        """Compares fingerprints with those of the first start, if there was one. Writes nothing.

        Args:
          fingerprints: identify the data.
          phases: compare those of so many phases, the first ones; None: of all.

        Raises:
          ConfigError: a fingerprint differs, or there is no record of the first start.
        """
        if not (self.path / RUN_FILE).exists() and self.latest_step() is None:
            return
        stored = self.data_fingerprints()
        for name, value in fingerprints.items():
            if _of_phases(stored.get(name), phases) != _of_phases(value, phases):
                raise ConfigError(
                    f"{self.path} was started on other data ({name} was {stored.get(name)}, is {value}):"
                    f" use the data of the first start, or choose another --workdir."
                )

    def data_fingerprints(self) -> dict[str, str]:
        """Reads the fingerprints of the data that the run was started on.

        Raises:
          ConfigError: there is no record of them.
        """
        stored = self.record().get("data_fingerprints")
        if stored is None:
            raise ConfigError(
                f"{self.path / RUN_FILE} does not say which data the run was started on: restore it from the folder"
                " about/ of a checkpoint."
            )
        return stored

    def record(self) -> dict[str, Any]:
        """Returns the content of `run.json`; empty before the first start."""
        return read_record(self.path)

    def assets(self) -> dict[str, bytes]:
        """Returns the small files that belong in each checkpoint, by their path in the workdir."""
        own = {name: (self.path / name).read_bytes() for name in ("config.json", "run.json")}
        return own | self.files()


def _of_phases(fingerprint: str | None, phases: int | None) -> str | list[str] | None:
    """Returns the fingerprints of the first phases. One fingerprint is that of all phases."""
    if fingerprint is None or phases is None:
        return fingerprint
    parts = fingerprint.split()
    return (parts * phases if len(parts) == 1 else parts)[:phases]


def check_is_run(path: epath.PathLike) -> None:
    """Checks that a folder is the workdir of a run.

    Raises:
      ConfigError: there is no run in the folder.
    """
    folder = epath.Path(path)
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {path}: give the --workdir of a run.")
    if not (folder / "config.json").exists():
        raise ConfigError(f"{path} holds no run: it has no config.json.")


def task_of(values: Any) -> str:
    """Returns the name of the task in the content of a `config.json`.

    Raises:
      ConfigError: the content has another form.
    """
    if problem(values, {"task": str, "config": dict}):
        raise ConfigError('It does not have the form {"task": …, "config": …}.')
    return values["task"]


def version(package: str) -> str:
    """Returns the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _git_commit() -> str | None:
    """Returns the commit of this code, and whether its files have changed since; None outside of a checkout."""
    git = ["git", "-C", str(pathlib.Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + (" with changes" if changes.stdout.strip() else "")
