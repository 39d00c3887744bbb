"""A task of SuperGLUE (Wang et al. 2019) by its name, from TensorFlow Datasets, with BERT's recipe: see `glue.py`.

    python -m experiments.finetune --config=experiments/configs/super_glue.py:boolq --init_from=runs/articles \\
        --workdir=runs/boolq

COPA is multiple choice. In WiC, the word stands before the first sentence.
"""

from typing import Literal

from bert_jax.data.benchmarks import SUPER_GLUE
from bert_jax.tasks.classification import ClassificationConfig
from bert_jax.tasks.multiple_choice import MultipleChoiceConfig
from experiments.configs.glue import benchmark_config


def get_config(task: Literal["boolq", "cb", "copa", "rte", "wic"]) -> ClassificationConfig | MultipleChoiceConfig:
    return benchmark_config(SUPER_GLUE.tasks[task])
