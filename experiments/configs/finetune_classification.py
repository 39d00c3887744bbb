"""A text classifier from a pretrained model: three epochs, learning rate 5e-5, as in BERT (Devlin et al. 2018).

    python -m experiments.finetune --config=experiments/configs/finetune_classification.py --train=train.tsv \\
        --validation=dev.tsv --init_from=runs/articles --workdir=runs/sentiment

Measured on two busy cores, on 8,529 sentences of movie reviews with two labels (majority 0.508), in about 4 minutes,
with --config.data.sequence_length=64 --config.optimizer.learning_rate=3e-4 --config.train.num_epochs=4: a `mini` that
was pretrained for 7,000 steps of 16 x 64 tokens reaches validation accuracies of 0.753 and 0.758 (seeds 0 and 1), the
same model from scratch 0.748 and 0.752. So little pretraining shows early on, not at the end: see
docs/classification.md.

The best checkpoint by accuracy is kept; with several labels by micro-F1, with numbers by Spearman's correlation.

Without --init_from, the model is trained from scratch: give --config.data.tokenizer and --config.model.*.
"""

from bert_jax.tasks.classification import ClassificationConfig
from experiments.configs.finetuning import set_common


def get_config() -> ClassificationConfig:
    config = ClassificationConfig()
    set_common(config.optimizer, config.train, config.eval)
    config.train.batch_size = 16
    return config
