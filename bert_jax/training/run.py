"""Runs a task: checks the config, compiles, resumes and writes the results. `loop.py` has the training loop."""

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from etils import epath

from bert_jax import configuration, sharding
from bert_jax.errors import ConfigError, check_all, counted
from bert_jax.optim import lora
from bert_jax.optim.rates import describe_rates
from bert_jax.optim.schedules import warmup_problem
from bert_jax.training import loop, processes
from bert_jax.training.bad_steps import ADVICE, BadStepError, TrainingError, Watch, check_scores
from bert_jax.training.best import Best
from bert_jax.training.config import TrainConfig, fork_problem
from bert_jax.training.loader import Loader
from bert_jax.training.meter import Meter
from bert_jax.training.placed import PlacedTask, Probe
from bert_jax.training.planning import budget, devices, forecast
from bert_jax.training.planning.length import choose_length, complete_evaluation, describe_length
from bert_jax.training.profile import Profile
from bert_jax.training.program import Program
from bert_jax.training.progress import Progress
from bert_jax.training.recheck import rechecked
from bert_jax.training.state import TrainState
from bert_jax.training.task import Config, RunConfig, TaskKind, microbatches
from bert_jax.training.watchdog import PATIENT, Watchdog
from bert_jax.training.workdir import run_file
from bert_jax.training.workdir.checkpoints import Checkpoints, Preserved, read_best
from bert_jax.training.workdir.folder import Workdir, version
from bert_jax.training.workdir.fork import Fork, forked_from
from bert_jax.training.workdir.metrics import MetricWriter, read_metrics
from bert_jax.training.workdir.resume import check_forked, check_resumed
from bert_jax.training.workdir.warm_start import WarmStart


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of one start of a run, besides its config. They do not affect the result.

    Attributes:
      should_stop: called after each step; True saves a checkpoint and ends the run.
      profile: the (first, last) step to trace into `profiles/`.
      dry_run: compile the run, print what it would do, and write nothing.
      command: the command line, for the report.
    """

    should_stop: Callable[[], bool] = lambda: False
    profile: tuple[int, int] | None = None
    dry_run: bool = False
    command: str = ""


def run(
    kind: TaskKind[Config],
    config: Config,
    workdir: epath.PathLike,
    options: Options | None = None,
    probe: Probe | None = None,
) -> dict[str, float]:
    """Trains, or resumes from the last checkpoint in the workdir. All results go to `workdir`.

    The parameters come from (1) the newest complete checkpoint of this workdir, (2) `train.fork_from`, which gives the
    whole state, (3) `train.init_from`, or (4) random initialization, in this order. Data and dropout are functions of
    the step, so an interrupted run ends bit for bit like an uninterrupted one.

    Args:
      kind: the kind of task.
      config: complete except for fields that the first start chooses. Give the same one at every start; see
        `workdir/resume.py`.
      workdir: the folder of this run; not shared with other runs.
      options: the options of this start.
      probe: an additional evaluation.

    Returns:
      The evaluation of the best checkpoint if the run keeps it (`eval.best_by`), else of the last step, with baselines;
      empty if the run is not finished.

    Raises:
      BertJaxError: the config cannot work. Raised before anything is compiled, with one sentence per problem.
      LockError: another process trains in the workdir.
      TrainingError: the loss, the state or a score is not finite.
      HardwareError: a device computes wrongly, see `train.recheck_every`.
    """
    config, folder, options = copy.deepcopy(config), Workdir(workdir), options or Options()
    with contextlib.ExitStack() as held:
        with processes.together():
            check_start(kind, config, folder)  # what cannot work leaves no folder behind
            if processes.is_first() and not options.dry_run:
                held.enter_context(folder.hold())
        with processes.together():  # what another process wrote until the folder was held is checked now
            placed = prepare(kind, config, folder, probe)
        with Watchdog(placed.config.train.hang_seconds, folder.path) as watchdog:
            rewound = False
            while True:
                try:
                    return _train(placed, kind, folder, options, watchdog, rewound)
                except BadStepError as bad:
                    watchdog.doing("going back to a checkpoint", PATIENT)
                    _rewind(folder, bad, placed.config.train)
                    rewound = True


def _rewind(folder: Workdir, bad: BadStepError, train: TrainConfig) -> None:
    """Makes the run pass over the batches up to a bad step's, from the checkpoint before it on."""
    to, times = processes.of_first(folder.rewound_to(train.checkpoint_every))
    if times >= train.max_bad_steps:
        raise TrainingError(
            f"{bad.why} at step {bad.step}, after the run has gone back to step {to} {counted(times, 'time')}"
            f" (train.max_bad_steps): {ADVICE}"
        )
    with processes.together():
        if processes.is_first():
            folder.rewind(bad.step, bad.why, to)
    Progress(0, 0, quiet=not processes.is_first()).note(f"{bad.why} at step {bad.step:,}: going back to step {to:,}")


def prepare(
    kind: TaskKind[Config], config: Config, folder: Workdir | None = None, probe: Probe | None = None
) -> PlacedTask:
    """Checks and completes a config, also against earlier starts in its workdir, and opens its task.

    Args:
      kind: the kind of task.
      config: changed in place.
      folder: the workdir of the run. None: nothing is compared or written.
      probe: an additional evaluation.

    Raises:
      BertJaxError: the config cannot work.
    """
    stored = check_start(kind, config, folder)
    origin = forked_from(config.train, folder)
    if origin:
        check_forked(config, origin.run_config(kind), str(origin.path))
    if folder and stored is not None:
        check_resumed(config, stored, folder.latest_step() or 0, str(folder.path))
        if config.train.init_from != stored.train.init_from:
            folder.compare_data({"init_from": kind.open_start(config.train.init_from).fingerprint})
        if config.train.fork_from != stored.train.fork_from:
            folder.compare_data(Fork.open(config.train).fingerprints)
    files = origin.files() if origin else folder.files() if folder and stored is not None else {}
    mesh = sharding.make_mesh(config.mesh)
    task = kind.open(config, files)
    if config.eval.probes and not task.probes:
        raise ConfigError(f"The task {kind.name} has no probes: leave out eval.probes.")
    others = [task.other_held_out.rows] if task.other_held_out else []
    for batch in (task.held_out, *others, task.stream.batch(0, 0, 1)):
        task.learner.check(batch)
    if origin:
        begun = [phase for phase in task.stream.phases if phase.start < (config.train.fork_step or 0)]
        origin.compare_data(task.fingerprints, len(begun))
    if folder:
        folder.compare_data(task.fingerprints)
    if config.train.num_steps is None and config.train.num_epochs is not None:
        choose_length(config.train, task.stream)
        if problem := fork_problem(config.train):
            raise ConfigError(problem)
        _check_warmup(config, config.train.length)
    complete_evaluation(config.eval, task.learner.scores, config.train.num_steps)
    Best.of_run(config.eval, task.learner.scores)  # raises an error if it names no score
    placed = PlacedTask(task, config, mesh, kind.group_rows(config), probe)
    placed.check_scores()
    return placed


def check_start(kind: TaskKind[Config], config: Config, folder: Workdir | None) -> Config | None:
    """Completes a config and checks it and its workdir, without opening any data.

    Returns:
      The config of the first start in the workdir; None for a new run.

    Raises:
      BertJaxError: the config cannot work, or the workdir cannot be used.
    """
    stored = folder.load_config(kind) if folder else None
    if stored is not None and config.train.fork_from and config.train.fork_step is None:
        config.train.fork_step = stored.train.fork_step
    origin = forked_from(config.train, folder)
    kind.complete(config, origin.run_config(kind) if origin else stored)
    checks = [functools.partial(check_config, kind, config)]
    if folder:
        checks.append(folder.check_checkpoints)
    if folder and processes.is_first():
        checks.append(folder.check_writable)  # creates and removes files, so only one process does it
    check_all(*checks)
    return stored


def check_config(kind: TaskKind[Config], config: Config, devices: list[jax.Device] | None = None) -> None:
    """Checks that a config can work on these devices, before opening data or compiling.

    Raises:
      ConfigError: lists all problems, one sentence each.
    """
    configuration.check_types(config)
    problems = [p for section in dataclasses.fields(config) for p in getattr(config, section.name).problems()]
    problems += kind.problems(config)
    steps = config.train.num_steps
    if steps is not None and (problem := warmup_problem(config.optimizer, steps)):
        problems.append(problem)
    if config.optimizer.lora_rank and not config.train.init_from:
        problems.append(
            "optimizer.lora_rank keeps the body as it starts, and without train.init_from it starts at random: give"
            " train.init_from, or leave out optimizer.lora_rank."
        )
    if not config.mesh.problems():
        problems += _device_problems(kind, config, len(devices or jax.devices()))
    if problems:
        raise ConfigError("\n".join(problems))


def _device_problems(kind: TaskKind[Config], config: Config, count: int) -> list[str]:
    """Returns error messages about sizes that do not divide evenly over `count` devices."""
    found = sharding.mesh_problems(config.mesh, count, kind.cut_sizes(config))
    rows, parts = sharding.data_devices(config.mesh, count), max(1, config.train.grad_accumulation_steps)
    try:
        phases = kind.phases(config)
    except ConfigError:  # reported by the task
        return found
    group, group_name = max(1, kind.group_rows(config)), kind.group_rows_field
    for phase in phases:
        size, full = phase.batch_size, phase.full_batch_size
        if full % (unit := rows * parts * group):
            where = f"data.phases: batch_size={full} (from step {phase.start} on)"
            found.append(
                (where if full != phases[0].full_batch_size else f"train.batch_size={full}")
                + f" must be a multiple of the {rows} data devices"
                + (f" times train.grad_accumulation_steps={parts}" if parts > 1 else "")
                + (f" times {group_name}={group}" if group > 1 else "")
                + f": choose {-(-full // unit) * unit}, for example."
            )
        elif size < full and size % (rows * group * microbatches(phase, parts)):
            found.append(
                f"In the ramp to {full} rows, a batch of {size} rows cannot be cut evenly: choose multiples of"
                f" {full // parts if parts > 1 else rows * group} for data.ramp_from and data.ramp_increment."
            )
            break
    return list(dict.fromkeys(found))


def _train(
    placed: PlacedTask, kind: TaskKind, workdir: Workdir, options: Options, watchdog: Watchdog, rewound: bool
) -> dict[str, float]:
    """Takes the steps that are left, from the newest checkpoint on; `rewound`: not for the first time in this start."""
    task, config = placed.task, placed.config
    with jax.set_mesh(placed.mesh), sharding.rules():
        processes.check_same(_same_everywhere(placed, workdir))
        # Any schedule length will do for now: it does not affect the cost of a step.
        program = placed.program(config.train.num_steps or max(1000, placed.phase_starts[-1] + 1))
        start = workdir.latest_step()
        fork = warm = None
        with processes.together():
            if start is None and config.train.fork_from:
                fork = Fork.open(config.train)
            elif start is None:
                params, layer_of = program.state_shapes.params, task.learner.layer_of
                warm = WarmStart.plan(config.train, params, kind.open_start, layer_of)
            if warm and config.optimizer.lora_rank:
                lora.check_start(warm.new)
        source = fork or warm
        processes.check_same(source.fingerprints if source else {})
        if config.train.num_steps is None:
            config.train.num_steps = _measure(placed, program)
            program = placed.program(config.train.num_steps)
            complete_evaluation(config.eval, task.learner.scores, config.train.num_steps)
        if source:
            workdir.compare_data(source.fingerprints)
        if options.dry_run:
            best, taken = read_best(workdir.checkpoints), fork.step if fork else start or 0
            text = opening(kind, placed, program, workdir, taken, best, source, complete=True)
            if processes.is_first():
                print(text)
            return {}
        with processes.together():
            if processes.is_first():  # after every process has read the workdir, before any reads it again
                fingerprints = task.fingerprints | (source.fingerprints if source else {})
                workdir.begin(kind.name, config, task, fingerprints, fork.record if fork else None)
        train = config.train
        assets, told = workdir.assets(), workdir.add_first_checkpoint
        preserved = Preserved(
            train.keep_checkpoints, train.keep_every, train.checkpoint_every if train.on_bad_step == "rewind" else None
        )
        checkpoints = Checkpoints(workdir.checkpoints, preserved, assets, told)
        watchdog.doing("reading the checkpoint", PATIENT)
        state = checkpoints.restore_latest(program.state_shapes)
        best = checkpoints.best or Best.of_run(config.eval, task.learner.scores)
        if state is None and fork:
            state = fork.read(program.state_shapes)
            best = best.after(fork.step, fork.about.scores) if best and fork.about.scores else best
        elif state is None:
            state = program.make_state(warm.read(program.state_shapes.params) if warm else {})
        peak = devices.matrix_peak(task.learner.dtype)
        if processes.is_first() and not rewound:
            workdir.add_start(int(state.step), options.command, peak, str(fork.path) if fork else "")
        watchdog.doing("compiling", PATIENT)
        progress = Progress(int(state.step), config.train.num_steps, quiet=not processes.is_first())
        progress.note(opening(kind, placed, program, workdir, int(state.step), best, source, complete=False))
        state, best = _steps(placed, program, state, best, workdir, options, checkpoints, progress, watchdog, fork)
        processes.wait()  # until the first process has written the last log line
    step = int(state.step)
    if not _is_finished(config, step, best):
        return {}
    evaluations = {row["step"]: row for row in read_metrics(workdir.path) if "eval/seconds" in row}
    if step not in evaluations:  # told to stop before the last evaluation
        return {}
    chosen = best.step if best and best.step is not None else step
    scores = evaluations.get(chosen, evaluations.get(step, {}))
    check_scores(chosen, scores)  # those that an earlier version has let pass
    return scores


def _is_finished(config: RunConfig, step: int, best: Best | None) -> bool:
    return step >= config.train.length or (best is not None and best.ends_run(config.eval.patience))


def _steps(
    placed: PlacedTask,
    program: Program,
    state: TrainState,
    best: Best | None,
    workdir: Workdir,
    options: Options,
    checkpoints: Checkpoints,
    progress: Progress,
    watchdog: Watchdog,
    fork: Fork | None,
) -> tuple[TrainState, Best | None]:
    task, config, start = placed.task, placed.config, int(state.step)
    lines, history = checkpoints.lines if start else None, fork.rows if fork else None
    # A run that starts over also repeats the evaluation before its first step.
    writer = MetricWriter(workdir.path, start or -1, lines, workdir.check_held, history)
    stop = start if _is_finished(config, start, best) else config.train.length
    batch_of = functools.partial(run_file.batch_of, workdir.record())
    loader = Loader(lambda step: placed.work(batch_of(step)), start, stop, task.prefetch)
    profile = Profile(options.profile if processes.is_first() else None, workdir.path / "profiles")
    meter = Meter(lambda: loader.waited, lambda: program.compile_seconds, devices.matrix_peak(task.learner.dtype))
    train_step = program.train_step
    if config.train.recheck_every:
        train_step = rechecked(train_step, config.train.recheck_every)

    def tell_skipped(step: int, why: str) -> None:
        workdir.add_skipped(step, why)
        progress.note(f"{why} at step {step:,}: skipped")

    with contextlib.ExitStack() as opened:  # closes all of them, even if one raises
        for one in (checkpoints, writer, profile, loader):
            opened.callback(one.close)
        if fork:  # from here on, nothing is needed of the other run
            watchdog.doing(f"the checkpoint of step {start}", PATIENT)
            checkpoints.save(start, state, fork.about.checksums, best, fork.about.scores, writer.lines)
            checkpoints.lacks_scores = not fork.about.scores
        steps = loop.Loop(
            state,
            train_step,
            functools.partial(placed.evaluate, program),
            lambda step: task.stream.epochs(batch_of(step)),
            loop.Schedule(
                config.train.length,
                config.train,
                config.eval.interval,
                config.eval.patience,
                processes.anywhere(options.should_stop),
                scores_start=bool(config.train.init_from),
                model_phases=task.learner.phase_starts,
            ),
            Watch(config.train, tell_skipped),
            loop.Outputs(checkpoints, writer, progress, profile, meter, watchdog),
            best,
        )
        steps.run(loader)
    return steps.state, steps.best


def _same_everywhere(placed: PlacedTask, workdir: Workdir) -> dict[str, Any]:
    """Returns the values that must be equal on all processes, by display name."""
    return {
        **configuration.fields(placed.config),
        **placed.task.fingerprints,
        "--workdir": str(workdir.path),
        "the newest checkpoint in it": workdir.latest_step(),
        "the version of bert_jax": version("bert_jax"),
        "the version of jax": version("jax"),
    }


def _measure(placed: PlacedTask, program: Program) -> int:
    """Measures the number of steps that the time budget allows."""
    config, seconds = placed.config, placed.config.train.time_budget
    assert seconds is not None, "without num_steps there is a budget"
    steps = budget.choose_num_steps(
        program.train_step,
        lambda: program.make_state({}),
        lambda step: placed.work(step).batch,
        lambda state: placed.evaluate(program, state.scored, 0),
        config.eval.every,
        placed.phase_starts,
        seconds,
    )
    _check_warmup(config, steps)
    return steps


def _check_warmup(config: RunConfig, num_steps: int) -> None:
    if problem := warmup_problem(config.optimizer, num_steps):
        raise ConfigError(problem)


def opening(
    kind: TaskKind,
    placed: PlacedTask,
    program: Program,
    workdir: Workdir,
    start: int,
    best: Best | None,
    source: WarmStart | Fork | None,
    complete: bool,
) -> str:
    """Describes what the run will do, as a block of text; see `planning/forecast.py`.

    Args:
      kind: the kind of task.
      placed: the task.
      program: its compiled functions.
      workdir: where the results go.
      start: number of steps already taken.
      best: the best evaluation up to there.
      source: where the initial parameters, or the whole state, come from; None: from this workdir, or random.
      complete: compile and measure all remaining phases, not only the next one.
    """
    config, learner, starts = placed.config, placed.task.learner, placed.phase_starts
    steps = config.train.length
    lines = ["config", *configuration.lines(config)]
    if _is_finished(config, start, best):
        end = best.describe_end(start, steps) if best and start < steps else f"{steps:,} of {steps:,} steps"
        return "\n".join([*lines, f"This run is finished: {end}."])
    record = workdir.record()
    first, end = (run_file.batch_of(record, step) for step in (start, steps))  # later ones after a rewind
    left = forecast.phases_left(starts, first, end)
    compiled = [
        program.compiled(placed.work(batch).batch, start + batch - first) for batch in (left if complete else left[:1])
    ]
    evaluation = program.compiled_evaluation(next(placed.held_out_batches()), max(0, start - 1))
    copies = 2 if config.train.recheck_every else 1
    need = forecast.memory(program.state_shapes, compiled, evaluation, devices.memory(), copies)
    params = program.state_shapes.params
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    learned = sum(size for size, change in zip(sizes, jax.tree.leaves(program.trained), strict=True) if change)
    held_out = [placed.task.held_out, *([other.rows] if (other := placed.task.other_held_out) else [])]
    flops = forecast.total_flops(placed.work, starts, first, end)
    details = [
        *forecast.describe_memory(need, sum(sizes), learned),
        *describe_rates(params, learner.layer_of, config.optimizer),
        *(source.describe() if source else []),
        forecast.describe_devices(placed.mesh),
        *placed.task.stream.describe(steps),
        *describe_length(config.train, placed.task.stream),
        *kind.remarks(config),
        forecast.describe_evaluation(sum(len(rows["example_ids"]) for rows in held_out), placed.held_out_batch_size),
        *(line for probe in placed.task.probes for line in probe.lines),
        *forecast.describe_work(flops, devices.matrix_peak(learner.dtype)),
        f"results      {workdir.path}",
    ]
    begin = f"{'going on' if isinstance(source, Fork) else 'resuming'} after step {start:,}" if start else "starting"
    return "\n".join([*lines, f"{begin}, {steps:,} steps in all", *(f"  {line}" for line in details)])
