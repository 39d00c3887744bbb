"""The curves of a run as one picture."""

import matplotlib
import numpy as np
from etils import epath

matplotlib.use("Agg")  # a picture is written, never shown: no screen is needed
from matplotlib import pyplot

BY_SOURCE = "eval/mlm_loss/"
TRAIN, HELD_OUT, BASELINE = "#9bb8d3", "#1f4e79", "#b5651d"


def draw_curves(rows: list[dict[str, float]], file: epath.PathLike) -> None:
    """Draws what a run has logged: losses, losses by source, next-sentence accuracy, speed, rate and gradient norm.

    Args:
      rows: from `training.metrics.read_metrics`.
      file: the PNG to write.
    """
    names = {name for row in rows for name in row}
    sources = [name for row in rows for name in row if name.startswith(BY_SOURCE)]
    panels = [_draw_losses]
    panels += [_draw_sources] if sources else []
    panels += [_draw_pairs] if names & {"eval/nsp_majority", "eval/nsp_chance"} else []
    panels += [_draw_speed, _draw_rate]
    lines = -(-len(panels) // 2)
    figure, axes = pyplot.subplots(lines, 2, figsize=(11, 3.5 * lines), layout="constrained", squeeze=False)
    for axis in axes.ravel()[len(panels) :]:
        axis.set_visible(False)
    for axis, draw in zip(axes.ravel(), panels, strict=False):
        draw(axis, rows)
        axis.set(xlabel="step")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    with epath.Path(file).open("wb") as handle:
        figure.savefig(handle, format="png", dpi=110)
    pyplot.close(figure)


def _draw_losses(axis, rows):
    _line(axis, rows, "train/mlm_loss", "training", color=TRAIN, smooth=True)
    _line(axis, rows, "eval/mlm_loss", "held out", color=HELD_OUT, marker="o")
    _level(axis, rows, "eval/unigram_mlm_loss", "word frequencies")
    axis.set(title="Masked language model", ylabel="loss (nats)")
    axis.legend(frameon=False)


def _draw_sources(axis, rows):
    names = dict.fromkeys(name for row in rows for name in row if name.startswith(BY_SOURCE))
    for i, name in enumerate(names):
        _line(axis, rows, name, name.removeprefix(BY_SOURCE), color=pyplot.get_cmap("tab20")(i % 20), marker="o")
    axis.set(title="Masked language model by source, held out", ylabel="loss (nats)")
    axis.legend(frameon=False, fontsize=8, ncols=2)


def _draw_pairs(axis, rows):
    _line(axis, rows, "train/nsp_accuracy", "training", color=TRAIN, smooth=True)
    _line(axis, rows, "eval/nsp_accuracy", "held out", color=HELD_OUT, marker="o")
    _level(axis, rows, "eval/nsp_majority", "majority")
    _level(axis, rows, "eval/nsp_chance", "chance")
    axis.set(title="Next sentence", ylabel="accuracy")
    axis.legend(frameon=False)


def _draw_speed(axis, rows):
    _line(axis, rows, "train/tokens_per_second", "real tokens a second", color=HELD_OUT)
    axis.set(title="Speed", ylabel="tokens a second", ylim=(0, None))


def _draw_rate(axis, rows):
    _line(axis, rows, "train/learning_rate", "learning rate", color=HELD_OUT)
    axis.set(title="Learning rate and gradient norm", ylabel="learning rate")
    norms = axis.twinx()
    _line(norms, rows, "train/grad_norm", "gradient norm", color=TRAIN, smooth=True)
    norms.set(ylabel="gradient norm")
    norms.spines["top"].set_visible(False)


def _line(axis, rows, key, label, color, smooth=False, **style):
    points = [(row["step"], row[key]) for row in rows if key in row]
    if not points:
        return
    steps, values = map(np.array, zip(*points, strict=True))
    if smooth and len(values) > 20:
        axis.plot(steps, values, color=color, alpha=0.35, linewidth=0.8)
        width = max(3, len(values) // 25)
        kernel = np.ones(width) / width
        steps, values = steps[width - 1 :], np.convolve(values, kernel, mode="valid")
    axis.plot(steps, values, color=color, label=label, markersize=3, **style)


def _level(axis, rows, key, label):
    values = [row[key] for row in rows if key in row]
    if values:
        axis.axhline(values[-1], color=BASELINE, linestyle="--", linewidth=1, label=label)
