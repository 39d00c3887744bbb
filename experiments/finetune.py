"""Fine-tunes a pretrained model on labelled data; the same command resumes an interrupted run.

    python -m experiments.finetune --config=experiments/configs/finetune_classification.py --train=train.tsv \\
        --validation=dev.tsv --test=test.tsv --init_from=runs/mini --workdir=runs/sentiment --num_seeds=5

Files may be TSV, CSV, JSON Lines, Parquet or tfds:NAME:SPLIT; those of a tagger may have a word and its tag on each
line. --test and --num_seeds may be left out. --sweep trains every combination of some settings. The config file selects
the task. `experiments/training.py` lists the exit codes and the flags that all training scripts share.
"""

import copy
from typing import Any

from absl import flags

from bert_jax import configuration
from bert_jax.errors import ConfigError
from bert_jax.tasks.registry import TASKS
from bert_jax.training.task import TaskKind
from experiments import config_flags, sweep_runs, sweeps, training

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
_NUM_TRAIN_EXAMPLES = flags.DEFINE_list(
    "num_train_examples",
    None,
    "Train on so many examples, drawn by the seed; labels keep their shares. Several numbers, such as 16,64,256, are a"
    " sweep: its picture is a learning curve. Short for --config.data.num_train_examples.",
)
_SWEEP = sweeps.define_flag(
    "sweep",
    "Train with every combination of some settings, each in a folder of its own, and choose the best by its held-out"
    " score; only the best is scored on --test. Fields of the config, by their whole name or its last part, with their"
    " values, as in 'learning_rate=2e-5,5e-5;batch_size=16,32'. Without a value: the grid of BERT. With --num_seeds,"
    " each combination is trained with so many seeds. The same command continues an interrupted sweep.",
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
    axes = _axes(kind, config)
    if axes:
        sweep = sweeps.make_sweep(axes, config, _NUM_SEEDS.value)
        sweep_runs.train_sweep(kind, config, SCRIPT, sweep, scratch)
    elif _NUM_SEEDS.value is None:
        training.train(kind, config, SCRIPT, scratch)
    else:
        training.train_seeds(kind, config, SCRIPT, _NUM_SEEDS.value, scratch)


def _axes(kind: TaskKind[Any], config: Any) -> dict[str, tuple[Any, ...]]:
    """What is to be varied, by field; empty without a sweep. A single number of training examples goes to the config.

    Raises:
      ConfigError: a field is unknown or given twice, or a value is not of its type.
    """
    sizes = [configuration.parse(config, sweeps.SIZE, size.strip()) for size in _NUM_TRAIN_EXAMPLES.value or ()]
    axes: dict[str, tuple[Any, ...]] = {sweeps.SIZE: tuple(dict.fromkeys(sizes))} if len(sizes) > 1 else {}
    if len(sizes) == 1:
        configuration.replace(config, sweeps.SIZE, sizes[0])
    if _SWEEP.value in (None, "false"):
        return axes
    if _SWEEP.value == "true":
        complete = copy.deepcopy(config)
        kind.complete(complete, None)  # the width is that of the checkpoint
        return axes | sweeps.bert_grid(config, complete.model.hidden_size)
    given = sweeps.parse_axes(_SWEEP.value, config)
    if axes.keys() & given.keys():
        raise ConfigError("--sweep names num_train_examples, and so does --num_train_examples: leave one out.")
    return axes | given


if __name__ == "__main__":
    config_flags.run(main, *(kind.config_class for kind in _KINDS), example="finetune_classification")
