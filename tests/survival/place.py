"""Where faults are injected: a small corpus, a run that nobody disturbs, and the processes that are disturbed."""

import contextlib
import functools
import itertools
import json
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psutil

from bert_jax import hashing, lock
from bert_jax.errors import BertJaxError
from bert_jax.training.workdir.checkpoints import read_best
from tests.conftest import make_documents
from tests.experiments.scripts import Scripts
from tests.survival.outcomes import LOST, RESTORED, TOLD
from tests.tasks.test_pretraining import results

FLAGS = (
    "--config=experiments/configs/sizes.py:tiny",
    "--config.model.num_layers=1",
    "--config.model.hidden_size=32",
    "--config.model.max_positions=64",
    "--config.data.sequence_length=64",
    "--config.data.max_examples=4",
    "--config.train.num_steps=16",
    "--config.train.batch_size=8",
    "--config.train.log_every=1",
    "--config.train.checkpoint_every=3",
    "--config.eval.every=4",
    "--config.eval.best_by=mlm_loss",
    "--config.eval.num_targets=40",
)
SOURCES = 2
STOPPED = {143, 130, 129}  # told to, and saved
REFUSED = {2, 74}
HANG = 240  # seconds


class Place:
    """A folder for one kind of fault after the other; a context manager.

    Attributes:
      folder: for everything.
      corpus: of a few documents.
      straight: the workdir of a run that nobody disturbs.
      seconds: how long that took.
      writes: how many writes it made, and the build of the corpus.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder, self._paths = folder, (folder / f"{number:06d}" for number in itertools.count())
        self._opened = contextlib.ExitStack()
        self.seconds, self.writes = 0.0, dict[str, int]()

    def __enter__(self) -> "Place":
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.folder / "corpus", ignore_errors=True)
        return self

    def __exit__(self, *_: Any) -> None:
        self._opened.close()

    @functools.cached_property
    def scripts(self) -> Scripts:
        return self._opened.enter_context(Scripts(self.new_folder(), self.env))

    @functools.cached_property
    def pair(self) -> list[Scripts]:
        """For runs of two processes."""
        return [self._opened.enter_context(Scripts(self.new_folder(), self.env)) for _ in range(2)]

    @property
    def env(self) -> dict[str, str]:
        """What is compiled once is there for all, and quickly."""
        return {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": f"{self.folder}/compiled",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
            "XDG_CACHE_HOME": f"{self.folder}/cache",
        }

    def new_folder(self) -> pathlib.Path:
        path = next(path for path in self._paths if not path.exists())  # what an earlier call has lost stays
        path.mkdir()
        return path

    @functools.cached_property
    def sources(self) -> list[str]:
        """Flags of a build."""
        for number in range(SOURCES):
            file = self.folder / f"source{number}.jsonl"
            if not file.exists():  # its time is part of a corpus
                rows = (json.dumps({"text": text}) for text in make_documents(40, seed=number))
                file.write_text("\n".join(rows) + "\n")
        flags = [f"--source=jsonl:{self.folder}/source{number}.jsonl" for number in range(SOURCES)]
        return [*flags, "--vocab_size=300", "--validation_fraction=0.1"]

    def build(self, output: pathlib.Path, *flags: str, **options: Any) -> tuple[int, str]:
        """Builds the corpus; see `Scripts.run`."""
        given = [*self.sources, f"--output={output}", "--num_workers=1", *flags]
        return self.scripts.run("prepare_corpus", *given, seconds=HANG, **options)

    @functools.cached_property
    def corpus(self) -> pathlib.Path:
        self.writes["build"], (code, printed) = self._counted(self.build, self.folder / "corpus")
        assert code == 0, printed
        return self.folder / "corpus"

    def flags(self, workdir: pathlib.Path) -> list[str]:
        return [*FLAGS, f"--config.data.corpus={self.corpus}", f"--workdir={workdir}"]

    def train(self, workdir: pathlib.Path, *flags: str, **options: Any) -> tuple[int, str]:
        """Starts the run, or resumes it; see `Scripts.run`."""
        given = {"first": ("tests.survival.faults:save_time",), "seconds": HANG} | options
        return self.scripts.run("pretrain", *self.flags(workdir), *flags, **given)

    @functools.cached_property
    def straight(self) -> pathlib.Path:
        for name in ("compiles", "straight"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            began = time.monotonic()
            self.writes["run"], (code, printed) = self._counted(self.train, self.folder / name)
            self.seconds = time.monotonic() - began
            assert code == 0, printed
        return self.folder / "straight"

    def _counted(self, start: Callable[..., Any], folder: pathlib.Path) -> tuple[int, Any]:
        """How many writes the process makes, and its result."""
        file = self.new_folder() / "writes"
        ended = start(folder, first=("tests.survival.faults:count_writes", str(file)))
        return int(file.read_text()), ended

    @functools.cached_property
    def stopped(self) -> pathlib.Path:
        """The workdir of the same run, which was told to stop after step 10."""
        path = self.new_folder()
        code, printed = self.train(path, "--config.train.stop_after=10")
        assert code == 0, printed
        return path

    @functools.cached_property
    def sentencepiece_corpus(self) -> pathlib.Path:
        """A corpus with a SentencePiece model."""
        path = self.new_folder()
        code, printed = self.build(path, "--tokenizer=sentencepiece", "--vocab_size=200")
        assert code == 0, printed
        return path

    @functools.cached_property
    def expected(self) -> Any:
        """What every run must end with."""
        return ends(self.straight)

    def copy(self, of: pathlib.Path) -> pathlib.Path:
        """A copy of a workdir or a corpus, in a new folder."""
        path = self.new_folder()
        shutil.copytree(of, path, dirs_exist_ok=True, copy_function=shutil.copyfile)
        return path

    def judge_run(self, workdir: pathlib.Path, code: int, printed: str) -> tuple[str, str]:
        """The verdict on the last start of a run that was disturbed."""
        return judge(code, printed, lambda: ends(workdir) == self.expected)

    @contextlib.contextmanager
    def processor_time(self) -> Iterator[list[float]]:
        """Takes the seconds that the processes of the body took."""
        process, found = psutil.Process(self.scripts.pid), list[float]()
        before = process.cpu_times()
        yield found
        after = process.cpu_times()
        found.append(sum(after[2:4]) - sum(before[2:4]))


def ends(workdir: pathlib.Path) -> tuple[Any, ...]:
    """What must be equal bit for bit: the log, the last checkpoint, and the best one."""
    return *results(workdir), read_best(workdir / "checkpoints")


def judge(code: int, printed: str, is_equal: Any) -> tuple[str, str]:
    """The verdict on a process, and why: of what is lost, what was seen.

    Args:
      code: as of `Scripts.run`.
      printed: what it printed.
      is_equal: whether what it left is what an undisturbed one leaves; asked if it ended as if nothing had been.
    """
    if "Traceback (most recent call last)" in printed:
        return LOST, f"a traceback, code {code}: {printed[-1500:]}"
    if code in REFUSED:
        lines = [line for line in printed.splitlines() if line.startswith("error: ")]
        return (TOLD, lines[0][:200]) if lines else (LOST, f"code {code} without a sentence: {printed[-500:]}")
    if code == -signal.SIGALRM:
        return LOST, f"a hang: {printed[-500:]}"
    if code != 0:
        return LOST, f"code {code}: {printed[-500:]}"
    try:
        same = is_equal()
    except (BertJaxError, OSError, ValueError, KeyError) as error:
        return LOST, f"what is left cannot be read: {error!r}"
    return (RESTORED, "") if same else (LOST, f"another result: {printed[-500:]}")


def contents(folder: pathlib.Path, without: Sequence[str] = ()) -> dict[str, str]:
    """The hash of each file, but for the claims of processes that are gone."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not lock.is_claim(path.name))
    found = {str(path.relative_to(folder)): hashing.sha256(path) for path in files}
    return {name: value for name, value in found.items() if name not in without}


def discard(folder: pathlib.Path) -> None:
    """Removes a folder of `new_folder`."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(path, name), 0o700)
    shutil.rmtree(folder)
