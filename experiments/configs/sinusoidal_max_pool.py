"""A small model with sinusoidal positions, max pooling, and next-sentence prediction among candidates.

    python -m experiments.pretrain --config=experiments/configs/sinusoidal_max_pool.py --config.data.corpus=DIR \\
        --workdir=DIR

Each segment and the one that follows it are two sequences that do not attend to each other. P(next) is a softmax of the
inner products of their pooled vectors, over the following segments of eight rows. The temperature is the square root of
the width.

Measured on 14 MB of Wikipedia, vocabulary 8,192, 1,500 steps in three minutes on two cores: the next sentence is found
among eight with accuracy 0.824 (chance 0.125); held-out masked-language-model loss 6.860 nats (word frequencies 7.070).
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig()
    config.model = ModelConfig(
        num_layers=2,
        hidden_size=128,
        num_heads=2,
        positions="sinusoidal",
        pooling="max",
        activation="gelu_tanh",
        initializer_range=0.08,
        dropout=0.0,
        attention_dropout=0.0,
    )
    config.data.examples = "candidates"
    config.data.nsp_group_size = 8
    config.data.nsp_temperature = 128**0.5
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_ratio = 0.05
    config.train.num_steps = 2_000
    config.train.batch_size = 16
    config.train.log_every = 50
    config.train.checkpoint_every = 1_000
    config.eval.every = 500
    return config
