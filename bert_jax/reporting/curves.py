"""The curves of one run in one figure."""

from etils import epath
from matplotlib.figure import Figure

from bert_jax.reporting.panel import COLORS, DASHES, GREY, Line, Panel, draw_panels
from bert_jax.reporting.run_record import RunRecord
from bert_jax.reporting.run_scores import baseline_value, parts_of, scores_of
from bert_jax.reporting.scratch_run import read_scratch_run
from bert_jax.scores import Score
from bert_jax.training.step import GRAD_NORM_BY_LAYER

TRAIN, HELD_OUT, SCRATCH, LEVEL = COLORS[5], COLORS[0], COLORS[3], COLORS[1]
BY_LAYER = f"train/{GRAD_NORM_BY_LAYER}"
MOST_PARTS = 8
# Layers from dark to light with depth: the colour map viridis without its yellow.
DEPTHS = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d")


def draw_curves(run: RunRecord, file: epath.PathLike | None = None) -> Figure:
    """Draws scores, losses by source, learning rate, gradient norms, throughput and MFU of a run.

    The best step is marked, and the scores of the run from scratch are beside those of the run.

    Args:
      run: the run, finished or not; values that it did not log are left out.
      file: the PNG file to write; None: none.

    Returns:
      The figure.
    """
    whole = [score for score in scores_of(run) if "/" not in score.name]
    scratch = read_scratch_run(run)
    panels = [_score(run, score, scratch) for score in whole]
    panels += [_parts(run, score) for score in whole]
    panels += [
        Panel("Learning rate", [Line(run, "train/learning_rate")], from_zero=True),
        _gradient(run),
        _layers(run),
        Panel("Throughput, real tokens per second", [_measured(run, "train/tokens_per_second")], from_zero=True),
        Panel("MFU, % of the measured matrix peak", [_measured(run, "train/mfu")], from_zero=True, scale=100),
    ]
    marks = [(step, ":") for step in [*run.forks, *(start.get("step", 0) for start in run.restarts)]]
    marks += [(step, "--") for step in dict.fromkeys(step for step, _ in run.phases) if step <= run.step]
    marks += [(run.best.step, "-.")] if run.best and run.best.step is not None else []
    words = {":": "dotted: a restart" + (" or a fork" if run.forks else ""), "--": "dashed: a new phase"}
    words["-."] = f"dash-dotted: the best checkpoint by {run.best.by}" if run.best else ""
    note = "; ".join(words[dash] for dash in dict.fromkeys(dash for _, dash in marks))
    return draw_panels(panels, file, marks=marks, note=f"Vertical lines, {note}." if note else "")


def _score(run: RunRecord, score: Score, scratch: RunRecord | None = None) -> Panel:
    lines = [
        Line(run, f"train/{score.name}", "training", TRAIN, noisy=True, raw=True),
        Line(run, f"eval/{score.name}", "held out", HELD_OUT),
        *([Line(scratch, f"eval/{score.name}", "held out, from scratch", SCRATCH)] if scratch else []),
    ]
    baseline = baseline_value(score, run)
    levels = [(baseline, score.baseline_title, LEVEL)] if baseline is not None else []
    return Panel(score.title[0].upper() + score.title[1:], lines, levels)


def _parts(run: RunRecord, score: Score) -> Panel:
    """Draws the parts of a score, such as its values on each source."""
    names = [f"eval/{part.name}" for part in parts_of(run, score)]
    shown = sorted(names, key=lambda name: -run.last_evaluation.get(name, 0.0))[:MOST_PARTS]
    lines = [
        Line(run, name, name.rpartition("/")[2], COLORS[i % len(COLORS)], DASHES[i // len(COLORS)])
        for i, name in enumerate(shown)
    ]
    some = f" ({len(shown)} highest of {len(names)})" if len(shown) < len(names) else ""
    return Panel(f"{score.title[0].upper()}{score.title[1:]}: held out, by source{some}", lines)


def _gradient(run: RunRecord) -> Panel:
    clip = run.config.get("optimizer.clip_norm")
    levels = [(clip, "clipped to", LEVEL)] if clip else []
    return Panel("Gradient norm", [_measured(run, "train/grad_norm")], levels, log=True)


def _layers(run: RunRecord) -> Panel:
    names = [name.removeprefix(BY_LAYER) for name in run.names if name.startswith(BY_LAYER)]
    layers = sorted((n for n in names if n.startswith("layer_")), key=lambda n: int(n.rpartition("_")[2]))
    # A legend with all layers would be taller than the panel.
    named = {layers[0], layers[len(layers) // 2], layers[-1]} if layers else set()
    lines = []
    for i, name in enumerate(layers):
        color = DEPTHS[round(i * (len(DEPTHS) - 1) / max(len(layers) - 1, 1))]
        label = name.replace("_", " ") if name in named else None
        lines.append(Line(run, BY_LAYER + name, label, color, noisy=True))
    for i, name in enumerate(name for name in names if name not in layers):
        color = (COLORS[1], COLORS[4], COLORS[3], GREY)[i % 4]
        lines.append(Line(run, BY_LAYER + name, name.replace("_", " "), color, DASHES[1 + i % 3], noisy=True))
    return Panel("Gradient norm by layer", lines, log=True)


def _measured(run: RunRecord, name: str) -> Line:
    return Line(run, name, noisy=True, raw=True)
