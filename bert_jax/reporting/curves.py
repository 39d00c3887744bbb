"""The curves of a run as one picture."""

import matplotlib
import numpy as np
from etils import epath

matplotlib.use("Agg")  # a picture is written, never shown: no screen is needed
from matplotlib import pyplot

TRAIN, HELD_OUT, BASELINE = "#9bb8d3", "#1f4e79", "#b5651d"


def draw_curves(rows: list[dict[str, float]], file: epath.PathLike) -> None:
    """Draws losses, next-sentence accuracy, speed, and learning rate with gradient norm.

    Args:
      rows: from `training.metrics.read_metrics`.
      file: the PNG to write.
    """
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7), layout="constrained")
    losses, pairs, speed, rate = axes.ravel()

    _line(losses, rows, "train/mlm_loss", TRAIN, "training", smooth=True)
    _line(losses, rows, "eval/mlm_loss", HELD_OUT, "held out", marker="o")
    _level(losses, rows, "eval/unigram_mlm_loss", "word frequencies")
    losses.set(title="Masked language model", ylabel="loss (nats)")

    _line(pairs, rows, "train/nsp_accuracy", TRAIN, "training", smooth=True)
    _line(pairs, rows, "eval/nsp_accuracy", HELD_OUT, "held out", marker="o")
    _level(pairs, rows, "eval/nsp_majority", "majority")
    pairs.set(title="Next sentence", ylabel="accuracy")

    _line(speed, rows, "train/tokens_per_second", HELD_OUT, "real tokens a second")
    speed.set(title="Speed", ylabel="tokens a second", ylim=(0, None))

    _line(rate, rows, "train/learning_rate", HELD_OUT, "learning rate")
    rate.set(title="Learning rate and gradient norm", ylabel="learning rate")
    norms = rate.twinx()
    _line(norms, rows, "train/grad_norm", TRAIN, "gradient norm", smooth=True)
    norms.set(ylabel="gradient norm")
    norms.spines["top"].set_visible(False)

    for axis in axes.ravel():
        axis.set(xlabel="step")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in (losses, pairs):
        axis.legend(frameon=False)
    with epath.Path(file).open("wb") as handle:
        figure.savefig(handle, format="png", dpi=110)
    pyplot.close(figure)


def _line(axis, rows, key, color, label, smooth=False, **style):
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
