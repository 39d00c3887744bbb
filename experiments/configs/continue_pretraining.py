"""Goes on pretraining a model on other text: a run, or a released folder of Hugging Face or Google.

    python -m experiments.prepare_corpus --source='jsonl:domain/*.jsonl' --output=corpora/domain --tokenizer=MODEL
    python -m experiments.pretrain --config=experiments/configs/continue_pretraining.py \\
        --config.data.corpus=corpora/domain --config.train.init_from=MODEL --workdir=runs/domain

The model's shape is that of the checkpoint. The rate is a tenth of BERT's for a small batch, and there are no pairs,
because many released models lack the head for them (Gururangan et al. 2020, arXiv 2004.10964, go on like this).
"""

from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig()
    config.data.examples = "full_sentences"
    config.optimizer.learning_rate = 5e-5
    config.train.num_steps = 10_000
    config.train.batch_size = 32
    return config
