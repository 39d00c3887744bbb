"""Fine-tunes a pretrained model on labelled data; the same command resumes an interrupted run.

    python -m experiments.finetune --config=experiments/configs/finetune_classification.py --train=train.tsv \\
        --validation=dev.tsv --init_from=runs/mini --workdir=runs/sentiment

The config file selects the task. `experiments/training.py` lists the exit codes and the flags that all training scripts
share.
"""

from typing import Any

from absl import flags

from bert_jax import configuration
from bert_jax.tasks.registry import TASKS
from experiments import config_flags, training

# Short flags for the fields that differ between runs.
_SHORT = {
    "train": ("data.train", "Labelled examples for training."),
    "validation": ("data.validation", "Labelled examples for evaluation."),
    "init_from": ("train.init_from", "The folder of a pretrained run, or its checkpoints/."),
}
_FLAGS = {
    name: flags.DEFINE_string(name, None, f"{meaning} Short for --config.{field}.")
    for name, (field, meaning) in _SHORT.items()
}
# The tasks on labelled data.
_KINDS = [kind for kind in TASKS.values() if "data.train" in configuration.fields(kind.config_class())]


def main(config: Any) -> None:
    for name, (field, _) in _SHORT.items():
        if _FLAGS[name].value is not None:
            configuration.replace(config, field, _FLAGS[name].value)
    (kind,) = (kind for kind in _KINDS if type(config) is kind.config_class)
    training.train(kind, config, "experiments.finetune")


if __name__ == "__main__":
    config_flags.run(main, *(kind.config_class for kind in _KINDS))
