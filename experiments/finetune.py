"""Fine-tunes a pretrained model on labelled data; the same command resumes an interrupted run.

    python -m experiments.finetune --config=experiments/configs/finetune_classification.py --train=train.tsv \\
        --validation=dev.tsv --test=test.tsv --init_from=runs/mini --workdir=runs/sentiment --num_seeds=5

Files may be TSV, CSV, JSON Lines, Parquet or tfds:NAME:SPLIT; those of a tagger may have a word and its tag on each
line. --test and --num_seeds may be left out. The config file selects the task. `experiments/training.py` lists the exit
codes and the flags that all training scripts share.
"""

from typing import Any

from absl import flags

from bert_jax import configuration
from bert_jax.errors import ConfigError
from bert_jax.tasks.registry import TASKS
from experiments import config_flags, training

SCRIPT = "experiments.finetune"
# Short flags for the fields that differ between runs.
_SHORT = {
    "train": ("data.train", "Labelled examples for training."),
    "validation": ("data.validation", "Labelled examples for evaluation."),
    "test": ("data.test", "Labelled examples to score the finished model on, once."),
    "init_from": ("train.init_from", "The folder of a pretrained run, or its checkpoints/."),
}
_FLAGS = {
    name: flags.DEFINE_string(name, None, f"{meaning} Short for --config.{field}.")
    for name, (field, meaning) in _SHORT.items()
}
_NUM_SEEDS = flags.DEFINE_integer(
    "num_seeds",
    None,
    "Train with so many seeds, from config.train.seed on, each in a folder WORKDIR/seed_N, and report their mean and"
    " deviation.",
    lower_bound=2,
)
_FROM_SCRATCH = flags.DEFINE_bool(
    "from_scratch",
    False,
    "Also train the same model from random parameters, for as many steps, in a folder from_scratch beside each run's"
    " checkpoints: reports then show what --init_from is worth.",
)
_SCRATCH_RATE = flags.DEFINE_float(
    "scratch_rate",
    None,
    "With --from_scratch: its learning rate, config.optimizer.learning_rate if not given. A model from scratch often"
    " learns best with a higher one.",
)
# The tasks on labelled data.
_KINDS = [kind for kind in TASKS.values() if "data.train" in configuration.fields(kind.config_class())]


def main(config: Any) -> None:
    for name, (field, _) in _SHORT.items():
        if _FLAGS[name].value is not None:
            configuration.replace(config, field, _FLAGS[name].value)
    (kind,) = (kind for kind in _KINDS if type(config) is kind.config_class)
    scratch = training.Scratch(_SCRATCH_RATE.value) if _FROM_SCRATCH.value else None
    if scratch and not config.train.init_from:
        raise ConfigError(
            "--from_scratch trains a model without --init_from beside the one with it: give --init_from, or leave out"
            " --from_scratch."
        )
    if _SCRATCH_RATE.value is not None and not scratch:
        raise ConfigError("--scratch_rate has no effect without --from_scratch: add it.")
    if _NUM_SEEDS.value is None:
        training.train(kind, config, SCRIPT, scratch)
    else:
        training.train_seeds(kind, config, SCRIPT, _NUM_SEEDS.value, scratch)


if __name__ == "__main__":
    config_flags.run(main, *(kind.config_class for kind in _KINDS))
