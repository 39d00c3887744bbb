"""A run of any task: what is compiled, what goes on where, what is written; `loop.py` does the steps."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from bert_jax import configuration, sharding
from bert_jax.errors import ConfigError
from bert_jax.training import budget, devices, forecast, loop, processes
from bert_jax.training.checkpoints import Checkpoints
from bert_jax.training.loader import Loader
from bert_jax.training.metrics import MetricWriter, read_metrics
from bert_jax.training.profile import Profile
from bert_jax.training.program import Program, make_program
from bert_jax.training.progress import Progress
from bert_jax.training.state import TrainState
from bert_jax.training.task import RunConfig, Task
from bert_jax.training.workdir import Workdir, version


@dataclasses.dataclass(frozen=True)
class Options:
    """What a start of a run may choose, besides its config: nothing of it decides the result.

    Attributes:
      should_stop: asked after each step; True ends the run with a checkpoint.
      profile: (first, last) of the steps to trace into `profiles/`.
      dry_run: say what would happen, after compiling it, and write nothing.
      command: the command line, for the report.
    """

    should_stop: Callable[[], bool] = lambda: False
    profile: tuple[int, int] | None = None
    dry_run: bool = False
    command: str = ""


def train(task: Task, config: RunConfig, workdir: Workdir, options: Options) -> dict[str, float]:
    """Trains, or goes on where the workdir's last checkpoint stands; writes everything into it.

    Where it goes on: a checkpoint that is whole, the newest first; without any, the initial parameters. Data and
    dropout follow from the step, so a run that was interrupted ends bit for bit like one that was not.

    Args:
      config: of the whole task, checked; a time budget fills in `train.num_steps`.

    Returns:
      The last step's evaluation; empty where the run was stopped before it.

    Raises:
      ConfigError: the workdir was started on other data.
    """
    workdir.compare_data(task.facts)
    with jax.set_mesh(task.mesh), sharding.rules():
        processes.check_same(_facts(task, config, workdir))
        if config.train.num_steps is None:
            config.train.num_steps = _measure(task, config)
        program = make_run_program(task, config)
        start = workdir.latest_step() or 0
        if options.dry_run:
            text = opening(task, config, program, workdir, start, complete=True)
            if processes.is_first():
                print(text)
            return {}
        with processes.together():
            if processes.is_first():  # after all have read, before any reads again
                workdir.begin(config, task.facts, task.save)
        checkpoints = Checkpoints(workdir.checkpoints, config.train.keep_checkpoints, workdir.assets())
        state = checkpoints.restore_latest(program.state_shapes) or program.make_state()
        start = int(state.step)
        peak = devices.matrix_peak(task.dtype)
        if processes.is_first():
            workdir.add_start(start, options.command, peak)
        progress = Progress(start, config.train.num_steps, quiet=not processes.is_first())
        progress.note(opening(task, config, program, workdir, start, complete=False))
        _steps(task, config, program, workdir, options, state, checkpoints, progress)
        processes.wait()  # until the first has written the last line
    return next(
        (row for row in read_metrics(workdir.path) if row["step"] == config.train.num_steps and "eval/seconds" in row),
        {},
    )


def _steps(
    task: Task,
    config: RunConfig,
    program: Program,
    workdir: Workdir,
    options: Options,
    state: TrainState,
    checkpoints: Checkpoints,
    progress: Progress,
) -> None:
    start, stop = int(state.step), config.train.num_steps
    writer = MetricWriter(workdir.path, after_step=start)
    loader = Loader(task.work, start, stop, task.prefetch)
    profile = Profile(options.profile if processes.is_first() else None, workdir.path / "profiles")
    try:
        loop.run(
            state,
            program.train_step,
            loader,
            start=start,
            num_steps=stop,
            config=config.train,
            evaluate=lambda state: task.score(program.eval_step, state.params),
            eval_every=config.eval.every,
            checkpoints=checkpoints,
            writer=writer,
            progress=progress,
            profile=profile,
            meter=loop.Meter(lambda: loader.waited, devices.matrix_peak(task.dtype)),
            facts=lambda step: {f"data/epochs/{name}": passes for name, passes in task.passes(step).items()},
            should_stop=processes.anywhere(options.should_stop),
        )
    finally:
        loader.close()
        profile.close()
        writer.close()
        checkpoints.close()


def _facts(task: Task, config: RunConfig, workdir: Workdir) -> dict[str, Any]:
    """What all processes of a run must find alike, by a name for people."""
    return {
        **configuration.fields(config),
        **task.facts,
        "--workdir": str(workdir.path),
        "the newest checkpoint in it": workdir.latest_step(),
        "the version of bert_jax": version("bert_jax"),
        "the version of jax": version("jax"),
    }


def make_run_program(task: Task, config: RunConfig) -> Program:
    """The task's functions, for the config's number of steps."""
    return make_program(
        task.init, task.loss_fn, task.layer_of, config, config.train.num_steps, task.group_rows, task.mesh
    )


def _measure(task: Task, config: RunConfig) -> int:
    """The number of steps that the time budget allows."""
    stand_in = copy.deepcopy(config)
    stand_in.train.num_steps = max(1000, task.stages[-1] + 1)  # some schedule: the rates cost nothing
    program = make_run_program(task, stand_in)
    steps = budget.choose_num_steps(
        program.train_step,
        program.make_state,
        lambda step: task.work(step).batch,
        lambda state: task.score(program.eval_step, state.params),
        config.eval.every,
        task.stages,
        config.train.time_budget,
    )
    warmup = config.optimizer.warmup_steps
    if warmup is not None and warmup >= steps:
        raise ConfigError(
            f"train.time_budget={config.train.time_budget:g} allows {steps:,} steps, not more than"
            f" optimizer.warmup_steps={warmup:,}: raise the budget, or use optimizer.warmup_ratio."
        )
    return steps


def opening(task: Task, config: RunConfig, program: Program, workdir: Workdir, start: int, complete: bool) -> str:
    """What will happen, in one block; see `forecast.py`.

    Args:
      start: steps taken already.
      complete: compile and weigh all stages that are left, not the next one only.
    """
    steps = config.train.num_steps
    lines = ["config", *configuration.lines(config)]
    if start >= steps:
        return "\n".join([*lines, f"This run is finished: {steps:,} of {steps:,} steps."])
    left = forecast.stages_left(task.stages, start, steps)
    compiled = [program.compiled(task.work(step).batch) for step in (left if complete else left[:1])]
    need = forecast.memory(program.state_shapes, compiled, devices.memory())
    count = sum(leaf.size for leaf in jax.tree.leaves(program.state_shapes.params))
    flops = forecast.total_flops(task.work, task.stages, start, steps)
    return "\n".join(
        [
            *lines,
            f"{'going on after step ' + format(start, ',') if start else 'starting'}, {steps:,} steps in all",
            *(f"  {line}" for line in forecast.describe_memory(need, count)),
            f"  {forecast.describe_devices(task.mesh)}",
            *(f"  {line}" for line in task.describe(steps)),
            *(f"  {line}" for line in forecast.describe_work(flops, devices.matrix_peak(task.dtype))),
            f"  results      {workdir.path}",
        ]
    )
