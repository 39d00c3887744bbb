"""The baseline from scratch: the same model and data, the same number of steps, but random initial parameters."""

import copy
from typing import TypeVar

from bert_jax.tasks.labelled import LabelledRun
from bert_jax.tasks.starting_point import TOKENIZER

FOLDER = "from_scratch"  # in the workdir of the run that it is compared with

Config = TypeVar("Config", bound=LabelledRun)


def scratch_config(tuned: Config, workdir: str, learning_rate: float | None = None) -> Config:
    """Returns the config of a run from scratch beside a run that starts from `train.init_from`.

    What only makes sense for pretrained parameters is left out: adapters, frozen and re-initialised parameters, and
    other rates for some layers.

    Args:
      tuned: the complete config of that run.
      workdir: its folder, whose tokenizer is used.
      learning_rate: the peak; None: that of `tuned`. From scratch, a higher one is often better.
    """
    config = copy.deepcopy(tuned)
    config.data.tokenizer = f"{workdir}/{TOKENIZER.rstrip('/')}"
    config.train.num_epochs = config.train.time_budget = None  # `num_steps` is what they chose
    config.train.init_from = config.train.init_skip = config.train.freeze = ""
    config.train.reinit_layers = config.optimizer.lora_rank = 0
    config.optimizer.layer_decay = config.optimizer.head_rate = 1.0
    if learning_rate is not None:
        config.optimizer.learning_rate = learning_rate
    return config
