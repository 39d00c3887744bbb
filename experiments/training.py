"""The common part of all training scripts: flags, devices, signals, the run and its report.

Exit codes: 0 finished; 2 an error with a message; 74 a file that cannot be read or written, with a message; 143 (130,
129) stopped by SIGTERM (Ctrl-C, a closed terminal) after saving a checkpoint; 142 not stopped within --grace_seconds;
75 something hung (train.hang_seconds).
--dry_run checks the config, compiles the training step, prints what the run would do, and exits. --profile=100:110
traces steps 100 to 110. Several devices: --config.mesh.*, see `bert_jax/sharding.py`; several processes: see
`experiments/devices.py`.
"""

import contextlib
import copy
import dataclasses
import faulthandler
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
from absl import flags

from bert_jax.reporting import write_report
from bert_jax.reporting.report import best_line
from bert_jax.reporting.run_record import read_run
from bert_jax.reporting.run_scores import value
from bert_jax.reporting.seeds import write_seeds_report
from bert_jax.scores import behind_baseline
from bert_jax.tasks.from_scratch import FOLDER, scratch_config
from bert_jax.training import processes
from bert_jax.training.config import TrainConfig
from bert_jax.training.profile import parse_steps
from bert_jax.training.run import Options, run
from bert_jax.training.task import TaskKind
from bert_jax.training.workdir.folder import Workdir
from experiments import devices

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the checkpoints, metrics and report.", required=True)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Check and compile the run, print what it would do, and exit.")
_GRACE = flags.DEFINE_integer(
    "grace_seconds", 300, "Seconds to finish the step and to save after a signal; then the run is ended.", lower_bound=1
)
_PROFILE = flags.DEFINE_string("profile", None, "START:STOP: write a trace of these steps to WORKDIR/profiles.")

_OUTLIVES_TERMINAL = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # started by nohup
_received: list[int] = []  # signals; of several runs in a process, the next one is not begun

# Flags of one run, which a longer one does not share.
OWN = ("workdir", "profile", *(f"config.train.{name}" for name in (*TrainConfig.ALTERNATIVES, "stop_after")))


def workdir() -> str:
    """Returns --workdir."""
    return _WORKDIR.value


@dataclasses.dataclass(frozen=True)
class Scratch:
    """Asks for a run from scratch beside each run, see `tasks/from_scratch.py`.

    Attributes:
      learning_rate: its peak rate; None: that of the run beside it.
    """

    learning_rate: float | None = None


def train(kind: TaskKind[Any], config: Any, script: str, scratch: Scratch | None = None) -> None:
    """Runs or resumes a task in --workdir, and writes its report.

    Args:
      kind: the task.
      config: its config, from the flags.
      script: the module of the script, as in `python -m SCRIPT`, for the report.
      scratch: asks for a run from scratch, too, in a folder of --workdir.
    """
    devices.start()
    with compiled_once():
        train_in(_WORKDIR.value, kind, config, script, scratch)


def train_seeds(kind: TaskKind[Any], config: Any, script: str, count: int, scratch: Scratch | None = None) -> None:
    """Runs or resumes a task with several seeds, from `train.seed` on, each in a folder of --workdir.

    Args:
      kind, config, script, scratch: see `train`.
      count: the number of seeds.
    """
    devices.start()
    with compiled_once():
        train_seeds_in(_WORKDIR.value, kind, config, script, count, scratch)


def train_seeds_in(
    workdir: str, kind: TaskKind[Any], config: Any, script: str, count: int, scratch: Scratch | None = None
) -> list[str]:
    """As `train_seeds`, in a folder, on devices that are started. Returns the folders of the runs."""
    folders = []
    for seed in range(config.train.seed, config.train.seed + count):
        own = copy.deepcopy(config)
        own.train.seed = seed
        folders.append(f"{workdir}/seed_{seed}")
        train_in(folders[-1], kind, own, script, scratch)
    if processes.is_first() and not _DRY_RUN.value:
        write_seeds_report(workdir, folders)
        print(f"The report of all seeds is in {workdir}/report.md")
    return folders


@contextlib.contextmanager
def compiled_once() -> Iterator[None]:
    """Runs of the same shapes within the body compile once, through JAX's cache on disk, unless the user has one.

    For a `mini` on two cores, the second seed starts after 7 seconds instead of 40.
    """
    if jax.config.jax_compilation_cache_dir:
        yield
        return
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for name, value in zip(names, (folder, 0.0), strict=True):
            jax.config.update(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)


def train_in(
    workdir: str,
    kind: TaskKind[Any],
    config: Any,
    script: str,
    scratch: Scratch | None = None,
    in_sweep: bool = False,
) -> None:
    """Runs or resumes a task in a folder, and the run from scratch in a folder of it, and writes their reports.

    The devices are started. In a sweep, the test split is not scored.
    """
    scores = _run(workdir, kind, config, script)
    if scores and processes.is_first():
        write_report(workdir, test=not in_sweep)
        verdict = [] if in_sweep else _verdict(workdir, scores, script)
        print("\n".join([*_best(workdir), *verdict, f"The report is in {workdir}/report.md"]))
    if not scratch or not scores:
        return
    beside = f"{workdir}/{FOLDER}"
    own = scratch_config(Workdir(workdir).run_config(kind), workdir, scratch.learning_rate)
    if _run(beside, kind, own, script) and processes.is_first():
        write_report(beside, test=not in_sweep)
        write_report(workdir, test=not in_sweep)
        print(f"From scratch: {_scores(beside)}. The report in {workdir}/report.md shows them too.")


def _run(workdir: str, kind: TaskKind[Any], config: Any, script: str) -> dict[str, float]:
    """Runs or resumes a task in a folder, see `training.run.run`; exits if it was told to stop."""

    _exit_if_told(f"{workdir} is not begun")

    def stop(number: int, _) -> None:
        _received.append(number)
        # The run finishes and saves the current step. A second Ctrl-C ends it at once; a second SIGTERM, which some
        # launchers send, is ignored.
        signal.signal(number, signal.SIG_DFL if number == signal.SIGINT else signal.SIG_IGN)
        # One that waits for a process that is gone never gets there, nor to any handler of Python's.
        signal.alarm(_GRACE.value)

    with contextlib.suppress(AttributeError, OSError, ValueError):  # stderr is no file, as in a notebook
        faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
    for number in (signal.SIGTERM, signal.SIGINT, *([] if _OUTLIVES_TERMINAL else [signal.SIGHUP])):
        signal.signal(number, stop)
    options = Options(
        should_stop=lambda: bool(_received),
        profile=parse_steps(_PROFILE.value),
        dry_run=_DRY_RUN.value,
        command=shlex.join(["python", "-m", script, *sys.argv[1:]]),
    )
    scores = run(kind, config, workdir, options)
    signal.alarm(0)
    if not scores:
        _exit_if_told()
    return scores


def _exit_if_told(why: str = "") -> None:
    """Ends the process if one of the run was told to, with the exit code that a shell reports for the signal."""
    everywhere = [number for numbers in processes.gather(_received) for number in numbers]
    if everywhere:
        if why and processes.is_first():
            print(f"stopped: {why}; the same command goes on", file=sys.stderr)
        sys.exit(128 + everywhere[0])


def _best(workdir: str) -> list[str]:
    """Says which checkpoint is the best, and its scores, if the run chooses one."""
    return [line, f"Its scores: {_scores(workdir)}."] if (line := best_line(read_run(workdir))) else []


def _scores(workdir: str) -> str:
    """The held-out scores of the checkpoint that `load` opens."""
    run = read_run(workdir)
    return "; ".join(f"{one.title} {found:.3f}" for one in run.scores if (found := value(one, run)) is not None)


def _verdict(workdir: str, scores: dict[str, float], script: str) -> list[str]:
    """Says which final scores are not better than their baselines, and how to train for longer."""
    run = read_run(workdir)
    behind = behind_baseline(run.scores, scores)
    if not behind:
        return []
    rest, arguments = [], iter(sys.argv[1:])
    for argument in arguments:
        name, equals, _ = argument.lstrip("-").partition("=")
        if name not in OWN:
            rest.append(argument)
        elif not equals:
            next(arguments, None)  # its value is an argument of its own
    longer = [f"--workdir={_WORKDIR.value.rstrip('/')}-longer", f"--config.train.num_steps={10 * run.step}"]
    return [
        f"Not better than the baseline after {run.evaluation['step']:,} steps: {'; '.join(behind)}.",
        f"To train for longer: {shlex.join(['python', '-m', script, *rest, *longer])}",
    ]
