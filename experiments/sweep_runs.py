"""Runs a sweep of `sweeps.py`, or continues it: every combination and seed, then the best one on the test split."""

import copy
from typing import Any

from absl import flags

from bert_jax.errors import counted
from bert_jax.reporting import write_report
from bert_jax.reporting.run_record import RunRecord, read_run
from bert_jax.reporting.scratch_run import read_scratch_run
from bert_jax.reporting.seeds import write_seeds_report
from bert_jax.reporting.sweep import Tried, winners, write_sweep_report
from bert_jax.tasks.from_scratch import FOLDER
from bert_jax.training import processes
from bert_jax.training.loop import TrainingError
from bert_jax.training.task import TaskKind
from bert_jax.training.workdir.folder import Workdir
from bert_jax.training.workdir.resume import check_resumed
from experiments import devices, sweeps
from experiments.training import Scratch, compiled_once, train_in


def train_sweep(
    kind: TaskKind[Any], config: Any, script: str, sweep: sweeps.Sweep, scratch: Scratch | None = None
) -> None:
    """Runs or resumes every combination of a sweep with every seed, `COMBINATION/seed_N` in --workdir.

    The test split is scored by the runs of the best combination alone. With --dry_run, only the first run is tried.

    Args:
      kind, config, script, scratch: see `training.train`.
      sweep: what to try.
    """
    devices.start()
    count, done = len(sweep.combinations) * len(sweep.seeds), _Finished(kind, scratch is not None)
    if processes.is_first():
        print(f"sweep        {counted(count, 'run')}: {_described(sweep)}")
    tried, notes, number = list[Tried](), list[str](), 0
    with compiled_once():
        for settings in sweep.combinations:
            name = sweep.folder(settings)
            folders = [f"{flags.FLAGS.workdir}/{name}/seed_{seed}" for seed in sweep.seeds]
            failure = ""
            if same := processes.of_first(_same_run(tried, sweep, settings)):
                notes.append(f"`{name}` is left out: {same}.")
                number += len(folders)
                _say(notes[-1])
                continue
            for seed, folder in zip(sweep.seeds, folders, strict=True):
                number += 1
                own = sweeps.with_settings(config, settings, seed)
                if not flags.FLAGS.dry_run and done(folder, own):
                    _say(f"run {number:,} of {count:,}: {folder} is finished")
                    continue
                _say(f"run {number:,} of {count:,}: {folder}")
                try:
                    train_in(folder, kind, own, script, scratch, in_sweep=True)
                except TrainingError as error:
                    failure = "failed"
                    notes.append(f"`{name}` failed with seed {seed}: {error}")
                    _say(notes[-1])
                if flags.FLAGS.dry_run:
                    return
            tried.append(_tried(sweep, settings, name, folders, failure))
            if len(folders) > 1 and not failure and processes.is_first():
                write_seeds_report(f"{flags.FLAGS.workdir}/{name}", folders)
    if processes.is_first():
        _finish_sweep(tried, notes, scratch)


def _say(line: str) -> None:
    if processes.is_first():
        print(line, flush=True)


def _described(sweep: sweeps.Sweep) -> str:
    """The axes of a sweep with their values."""
    names = sweeps.short_names(list(sweep.axes))
    axes = [f"{names[field]} {', '.join(map(sweeps.value_text, values))}" for field, values in sweep.axes.items()]
    return "; ".join([*axes, f"seed {', '.join(map(str, sweep.seeds))}"])


def _tried(sweep: sweeps.Sweep, settings: sweeps.Settings, name: str, folders: list[str], failure: str) -> Tried:
    """The record of a combination that has been tried."""
    names = sweeps.short_names(list(sweep.axes))
    runs = [read_run(folder) for folder in folders if Workdir(folder).latest_step() is not None or not failure]
    if not failure and not all(run.is_finished and run.evaluation for run in runs):
        failure = "unfinished"
    return Tried(name, {names[field]: value for field, value in settings.items()}, runs, failure)


def _same_run(tried: list[Tried], sweep: sweeps.Sweep, settings: sweeps.Settings) -> str:
    """Says which combination has as many steps because `train.min_steps` sets them for both; empty if none does."""
    passes, names = settings.get(sweeps.EPOCHS), sweeps.short_names(list(sweep.axes))
    if passes is None:
        return ""
    shown, own = {names[field]: value for field, value in settings.items()}, names[sweeps.EPOCHS]
    for one in tried:
        alike = all(shown[name] == value for name, value in one.settings.items() if name != own)
        if alike and not one.failure and all(_reaches(run, passes) for run in one.runs):
            return f"{own}={one.settings[own]:g} already takes the {one.runs[0].num_steps:,} steps of train.min_steps"
    return ""


def _reaches(run: RunRecord, passes: float) -> bool:
    """Whether a run has no more steps than `train.min_steps`, and would have no more with so many passes."""
    done = [row["data/epochs/train"] for row in run.rows if row["step"] == run.step and "data/epochs/train" in row]
    least = run.config["train.min_steps"]
    return run.num_steps == least and bool(done) and round(passes * run.step / done[0]) <= least


class _Finished:
    """Tells finished runs of a sweep, so that they are not opened again.

    The first run on each data is opened in any case: `run` compares its data with those of its first start.
    """

    def __init__(self, kind: TaskKind[Any], has_scratch: bool):
        self._kind, self._has_scratch, self._checked = kind, has_scratch, list[Any]()

    def __call__(self, workdir: str, config: Any) -> bool:
        with processes.together():
            found = self._is_finished(workdir, copy.deepcopy(config))
        found, data = processes.of_first(found), (config.data, config.train.init_from)
        if data in self._checked:
            return found
        self._checked.append(data)
        return False

    def _is_finished(self, workdir: str, config: Any) -> bool:
        folder = Workdir(workdir)
        stored = folder.load_config(self._kind)
        if stored is None or not (folder.path / "report.md").exists():
            return False
        self._kind.complete(config, stored)
        check_resumed(config, stored, folder.latest_step() or 0, workdir)
        run = read_run(workdir)
        return run.is_finished and (not self._has_scratch or read_scratch_run(run) is not None)


def _finish_sweep(tried: list[Tried], notes: list[str], scratch: Scratch | None) -> None:
    """Scores the test split with the best runs, unless runs are missing, and writes the report of the sweep."""
    if any(one.failure == "unfinished" for one in tried):
        notes.append("The sweep is unfinished: give the same command again.")
    else:
        for run in (run for one in winners(tried) for run in one.runs):
            if scratch:
                write_report(run.path / FOLDER)
            write_report(run.path)
    write_sweep_report(flags.FLAGS.workdir, tried, notes)
    for one in winners(tried):
        print(f"The best: {one.name}")
    print(f"The report of the sweep is in {flags.FLAGS.workdir}/report.md")
