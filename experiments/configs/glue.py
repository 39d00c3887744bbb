"""A task of GLUE (Wang et al. 2018) by its name, from TensorFlow Datasets, with BERT's recipe (Devlin et al. 2018).

    python -m experiments.finetune --config=experiments/configs/glue.py:mrpc --init_from=runs/articles \\
        --workdir=runs/mrpc

Three epochs at a rate of 2e-5, and at least 500 steps. Rows are packed: a step has about 32 examples, as in BERT.
BERT's authors chose the best of the rates 5e-5, 4e-5, 3e-5 and 2e-5 on the validation split.

The best checkpoint by the official score is kept. The test splits have no labels and are not read; MNLI has its
mismatched validation split in their place. `experiments.glue` trains all tasks and writes the submission.
"""

from typing import Literal

from bert_jax.data.benchmarks import GLUE, BenchmarkTask, split_path
from bert_jax.objectives.labels import NUMBER
from bert_jax.tasks.classification import ClassificationConfig
from bert_jax.tasks.multiple_choice import MultipleChoiceConfig
from experiments.configs.finetuning import set_common


def get_config(
    task: Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"],
) -> ClassificationConfig | MultipleChoiceConfig:
    return benchmark_config(GLUE.tasks[task])


def benchmark_config(task: BenchmarkTask, folder: str = "") -> ClassificationConfig | MultipleChoiceConfig:
    """Returns the config of a task.

    Args:
      task: which one.
      folder: local files, see `split_path`, whose columns are guessed; empty: TensorFlow Datasets.
    """
    config = MultipleChoiceConfig() if task.chooses else ClassificationConfig()
    set_common(config.optimizer, config.train, config.eval)
    data = config.data
    data.train = split_path(task.data_set, "train", folder)
    data.validation, data.test = (*(split_path(task.data_set, one, folder) for one in task.validation), "")[:2]
    data.sequence_length = task.sequence_length
    config.train.batch_size = task.batch_size
    config.optimizer.learning_rate = 2e-5
    config.eval.best_by = task.scores[0]
    if isinstance(config, MultipleChoiceConfig):
        config.data.candidates_column = ",".join(task.columns)
        return config
    if not folder:
        config.data.text_column, config.data.pair_column = (*task.columns, "")[:2]
        config.data.label_column = "label"
    config.data.context_column = task.context_column
    config.data.f1_label = task.f1_label
    if task.labels:
        config.data.label_names = ",".join(task.labels)
    else:
        config.data.choose = NUMBER
    if task.number_range:
        config.data.number_range = ",".join(f"{one:g}" for one in task.number_range)
    return config
