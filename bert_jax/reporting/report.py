"""`report.md`, the report of a run: data, scores, examples, cost, commands and settings."""

from collections.abc import Callable
from typing import Any

import jax
from etils import epath

from bert_jax import configuration, storage
from bert_jax.errors import BertJaxError, ConfigError
from bert_jax.loading import load
from bert_jax.markdown import table
from bert_jax.pretrained import Pretrained
from bert_jax.reporting.curves import draw_curves
from bert_jax.reporting.results import results_section
from bert_jax.reporting.run_record import RunRecord, read_run
from bert_jax.reporting.run_scores import against, as_text, as_text_or_undefined, baseline_value, gain, scores_of, value
from bert_jax.reporting.scratch_run import read_scratch_run
from bert_jax.tasks.labelled import LabelledKind
from bert_jax.tasks.registry import task_named
from bert_jax.training.progress import duration
from bert_jax.training.task import Report, TaskKind
from bert_jax.training.workdir.folder import Workdir


def write_report(workdir: epath.PathLike, test: bool = True) -> str:
    """Writes `report.md` and `report/curves.png` into a run's folder, and returns the text.

    Parts that need something unavailable (an unrecorded value, the corpus, the checkpoints) are left out.

    Args:
      workdir: the folder of the run.
      test: whether to score the model on its test split, if it has one.

    Raises:
      ConfigError: the folder holds no run.
    """
    run = read_run(workdir)
    kind = task_named(run.task)
    model = _model_of(run)
    own = _own_parts(kind, run, model, test)
    (run.path / "report").mkdir(exist_ok=True)
    draw_curves(run, run.path / "report" / "curves.png")
    text = "\n".join(
        [
            *_summary(run, model),
            *own.data,
            *_phases(run),
            *_scores(run),
            "## Curves\n",
            "![curves](report/curves.png)\n",
            *own.examples,
            *_cost(run),
            *_origin(run),
            *_settings(run.config, configuration.fields(kind.config_class())),
        ]
    )
    storage.write_bytes(run.path / "report.md", text.encode())
    return text


def _model_of(run: RunRecord) -> Pretrained | None:
    try:
        return load(run.path)
    except BertJaxError:
        return None


def _own_parts(kind: TaskKind[Any], run: RunRecord, model: Pretrained | None, test: bool) -> Report:
    """Returns the parts of the report that the task adds."""
    lead = "data/epochs/"
    passes = {name.removeprefix(lead): run.series(name)[1] for name in run.names if name.startswith(lead)}
    try:
        config = Workdir(run.path).run_config(kind)
    except ConfigError as error:  # written by another version
        return Report([f"{error}\n"], [])
    epochs = {name: float(values[-1]) for name, values in passes.items() if len(values)}
    own = kind.report(config, model, epochs, run.data_fingerprints)
    if model and isinstance(kind, LabelledKind) and run.evaluation:
        return Report(own.data, [*own.examples, *results_section(run, kind, model, test)])
    return own


def _summary(run: RunRecord, model: Pretrained | None) -> list[str]:
    config = run.config
    size = sum(array.size for array in jax.tree.leaves(model.params)) if model else None
    steps = f"{run.step:,} steps"
    if run.num_steps and run.step < run.num_steps:
        steps = f"{run.step:,} of {run.num_steps:,} steps ({'stopped early' if run.stopped_early else 'unfinished'})"
    ramp = f"{first} to " if (first := config.get("data.ramp_from")) else ""
    rows = f"{ramp}{config.get('train.batch_size')} rows × {config.get('data.sequence_length')} tokens"
    parts = [
        f"A BERT of {config.get('model.num_layers')} layers, width {config.get('model.hidden_size')}"
        f" and {config.get('model.num_heads')} heads",
        *([f"with {size:,} parameters"] if size else []),
        f"trained for {steps} of {rows}",
        *([f"{_count(run.tokens)} real tokens in all"] if run.tokens else []),
    ]
    start = config.get("train.init_from")
    parts += [f"from `{start}`"] if start else []
    parts += [f"forked from `{path}` after step {step:,}" for step, path in run.forks.items()]
    return [f"# {run.path.name}\n", f"{', '.join(parts)}. {run.summary}\n"]


def _phases(run: RunRecord) -> list[str]:
    if not run.phases:
        return []
    lines = [f"- from step {step + 1:,}: {changes}" for step, changes in run.phases]
    return ["Phases; settings that a phase does not name stay as they were:\n", *lines, ""]


def _scores(run: RunRecord) -> list[str]:
    if not run.evaluation:
        return ["## Held-out scores\n", "None: the run has not been evaluated yet.\n"]
    rows, step, last, start = [], run.evaluation["step"], run.last_evaluation, run.first_evaluation
    goes_on, scratch = last["step"] != step, read_scratch_run(run)
    for score in scores_of(run):
        found, baseline, better_by = value(score, run), baseline_value(score, run), gain(score, run)
        if found is not None:
            better = "" if better_by is None else as_text(better_by)
            at_last = last.get(f"eval/{score.name}")
            later = ["" if at_last is None else as_text(at_last)] if goes_on else []
            before = start.get(f"eval/{score.name}")
            started = [] if not start else ["" if before is None else as_text(before)]
            beside = [as_text_or_undefined(value(score, scratch))] if scratch else []
            rows.append(
                [
                    score.title,
                    *started,
                    as_text(found),
                    *later,
                    *beside,
                    against(baseline, score.baseline_title),
                    better,
                ]
            )
    later = [f"after step {last['step']:,}"] if goes_on else []
    started = ["before training"] if start else []
    beside = ["from scratch"] if scratch else []
    lines = table(["", *started, "model", *later, *beside, "baseline", "better by"], rows, numbers=True)
    about = [f"{from_scratch_line(scratch)}\n"] if scratch else []
    return ["## Held-out scores\n", f"{best_line(run) or f'After step {step:,}.'}\n", *about, *lines]


def from_scratch_line(scratch: RunRecord) -> str:
    """Says what the column of scores from scratch is."""
    rate = scratch.config.get("optimizer.learning_rate")
    return (
        f"From scratch: the same model from random parameters, trained for {scratch.step:,} steps with learning rate"
        f" {rate:g}; its report is in `{scratch.path.name}/report.md`."
    )


def best_line(run: RunRecord) -> str:
    """Says which checkpoint is the best and where the run ended; empty if the run does not choose one."""
    best, num_steps = run.best, run.num_steps or run.step
    if best is None:
        return ""
    end = f" The run {best.describe_end(run.step, num_steps)}." if run.stopped_early else ""
    if best.step is None or best.value is None:
        return f"No evaluation had a finite {best.by}, so the last checkpoint counts as the best.{end}"
    return (
        f"The best checkpoint by {best.by} is that of step {best.step:,} of {run.step:,}, with {as_text(best.value)};"
        f" `load` opens it.{end}"
    )


def _cost(run: RunRecord) -> list[str]:
    """Lists the measured speed, time and cost."""
    speed, mfu, wait = (run.median(f"train/{name}") for name in ("tokens_per_second", "mfu", "data_wait"))
    latest = run.starts[-1] if run.starts else {}
    peak = latest.get("matrix_peak")
    ceiling = f", {_count(peak)} FLOP/s" if peak else ""
    measured = {
        "speed": _text(speed, lambda x: f"{x:,.0f} real tokens per second (median)"),
        "MFU": _text(mfu, lambda x: f"{100 * x:.1f} % of the measured matrix peak{ceiling} (median)"),
        "waiting for data": _text(wait, lambda x: f"{100 * x:.1f} % of the time (median)"),
        "devices": latest.get("devices") or "",
        "training": _text(run.seconds, duration),
        "evaluation": _text(run.evaluation_seconds, duration),
        "operations": _text(run.flops, lambda x: f"{x:.3g} FLOPs, real tokens only"),
        "device hours": _text(run.device_hours, lambda x: f"{x:,.3g}, training only"),
        "restarts": (_restarts(run) or "none") if run.starts else "",
        "bad steps": _bad_steps(run),
    }
    rows = [[name, text] for name, text in measured.items() if text]
    if not rows:
        return []
    lost = "Steps that were lost in a kill and trained again count once.\n"
    return ["## Speed and cost\n", *table(["", ""], rows), *([lost] if run.restarts else [])]


def _text(number: float | None, form: Callable[[float], str]) -> str:
    return "" if number is None else form(number)


def _restarts(run: RunRecord) -> str:
    steps = [f"{start['step']:,}" for start in run.restarts if "step" in start]
    return f"{len(run.restarts)}, after step {', '.join(steps)}" if steps else ""


def _bad_steps(run: RunRecord) -> str:
    skipped = [f"{one['step']:,}" for one in run.bad_steps if "rewound_to" not in one]
    rewinds = [f"{one['step']:,} to {one['rewound_to']:,}" for one in run.bad_steps if "rewound_to" in one]
    parts = []
    if skipped:
        parts.append(f"{len(skipped)} skipped: {', '.join(skipped[:20])}" + (", …" if len(skipped) > 20 else ""))
    if rewinds:
        parts.append(f"rewound from {', '.join(rewinds)}")
    return "; ".join(parts)


def _origin(run: RunRecord) -> list[str]:
    """Lists commands, commits and versions of the starts that differ from the one before."""
    lines, previous = [], None
    for start in run.starts:
        current = [start.get(name) for name in ("command", "git_commit", "devices")]
        if current == previous or not start.get("command"):
            continue
        previous = current
        facts = [start.get("time"), f"commit {commit}" if (commit := start.get("git_commit")) else None]
        facts += [start.get("devices"), f"jax {version}" if (version := start.get("jax")) else None]
        when = f"Resumed after step {start['step']:,}" if start.get("step") else "Started"
        if "forked_from" in start:
            when = f"Forked from `{start['forked_from']}` after step {start['step']:,}"
        lines += [
            f"{when}: {', '.join(map(str, filter(None, facts)))}.\n",
            f"```\n{start['command']}\n```\n",
        ]
    if run.versions:
        lines.append("Versions: " + ", ".join(f"{name} {version}" for name, version in run.versions.items()) + ".\n")
    return ["## How it was made\n", *lines] if lines else []


def _settings(config: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    own = {name: value for name, value in config.items() if name not in defaults or value != defaults[name]}
    rows = [[f"`{name}`", _value(value), _value(defaults.get(name, ""))] for name, value in own.items()]
    everything = [[f"`{name}`", _value(value)] for name, value in config.items()]
    return [
        "## Settings\n",
        "Fields that differ from the defaults:\n",
        *table(["field", "value", "default"], rows),
        f"<details>\n<summary>All {len(everything)} fields</summary>\n",
        *table(["field", "value"], everything),
        "</details>\n",
    ]


def _value(value: Any) -> str:
    return configuration.NONE if value is None else str(value)


def _count(number: float) -> str:
    """Formats a number like `12.3 million`."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:,.3g} {word}"
    return f"{number:,.0f}"
