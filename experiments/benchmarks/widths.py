"""The best learning rate at several widths, as it is and with `optimizer.base_width`: mean loss of the last steps.

    python -m experiments.benchmarks.widths --config=experiments/configs/quickstart.py --config.data.corpus=DIR \\
        --config.train.num_steps=400 --config.optimizer.warmup_ratio=0.1

The first width is the base, for which both are the same. Heads keep their size, so their number grows with the width,
and so does feed-forward.
"""

import copy
import math

import numpy as np
from absl import flags

from bert_jax.tasks.pretraining import PretrainingConfig
from bert_jax.training.run import prepare
from experiments import config_flags, devices
from experiments.benchmarks.meshes import PRETRAINING, measure, row

_WIDTHS = flags.DEFINE_list("widths", ["64", "128", "256"], "Widths, from the base up.")
_RATES = flags.DEFINE_list("rates", [f"{2.0**-i:.4g}" for i in range(12, 4, -1)], "Learning rates to try.")
_LAST = 0.1  # share of the steps, at the end, whose losses are averaged


def last_loss(config: PretrainingConfig) -> float:
    """Trains without a workdir, and returns the mean loss of the last steps; infinite if one is not finite."""
    losses = measure(prepare(PRETRAINING, config), config.train.num_steps).losses
    last = float(np.mean(losses[-max(1, round(_LAST * len(losses))) :]))
    return last if math.isfinite(last) else math.inf


def of_width(config: PretrainingConfig, width: int, base_width: int | None, rate: float) -> PretrainingConfig:
    """Returns the config with a body of another width, of the same head size."""
    config = copy.deepcopy(config)
    config.model.num_heads = max(1, width // config.model.head_size)
    config.model.hidden_size = width
    config.optimizer.base_width, config.optimizer.learning_rate = base_width, rate
    return config


def main(config: PretrainingConfig) -> None:
    devices.start()
    widths, rates = [int(width) for width in _WIDTHS.value], [float(rate) for rate in _RATES.value]
    row("base_width", "width", *_RATES.value, "best")
    row(*["---"] * (len(rates) + 3))
    for base_width in (None, widths[0]):
        for width in widths[1:] if base_width else widths:
            losses = [last_loss(of_width(config, width, base_width, rate)) for rate in rates]
            best = rates[int(np.argmin(losses))]
            row(base_width or "none", width, *(f"{loss:.3f}" for loss in losses), f"{best:.4g}")


if __name__ == "__main__":
    config_flags.run(main, PretrainingConfig)
