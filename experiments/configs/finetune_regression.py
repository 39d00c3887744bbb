"""A number for each text or pair of texts, such as their similarity, from a pretrained model: rates as in BERT.

    python -m experiments.finetune --config=experiments/configs/finetune_regression.py --train=train.tsv \\
        --validation=dev.tsv --init_from=runs/articles --workdir=runs/similarity

The labels of the files are numbers; the loss is the squared error, and the best checkpoint has the highest Spearman
correlation.
"""

from bert_jax.objectives.labels import NUMBER
from bert_jax.tasks.classification import ClassificationConfig
from experiments.configs import finetune_classification


def get_config() -> ClassificationConfig:
    config = finetune_classification.get_config()
    config.data.choose = NUMBER
    return config
