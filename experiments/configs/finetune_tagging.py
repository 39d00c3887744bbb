"""Entities in sentences, or another tag for each word, from a pretrained model: rates as in BERT (Devlin et al. 2018).

    python -m experiments.finetune --config=experiments/configs/finetune_tagging.py --train=train.conll \\
        --validation=dev.conll --init_from=runs/articles --workdir=runs/entities

The files have a word and its tag on each line. The best checkpoint has the highest F1: of entities, or if tags are
classes of words such as parts of speech, the mean of theirs.

Measured on two busy cores, on 18,045 words of UNER's English set, in about two minutes, with
--config.optimizer.learning_rate=3e-4 --config.train.num_epochs=10: a `mini` of an hour's pretraining reaches a test F1
of 0.323 (from scratch: 0.119). See docs/tagging.md.
"""

from bert_jax.tasks.tagging import TaggingConfig
from experiments.configs.finetuning import set_common


def get_config() -> TaggingConfig:
    config = TaggingConfig()
    set_common(config.optimizer, config.train, config.eval)
    config.train.num_epochs = 5.0
    config.train.batch_size = 8
    return config
