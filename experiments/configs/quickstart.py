"""A small BERT in minutes on two cores; `bash launch/local.sh` runs it on the docstrings of the machine's own Python.

python -m experiments.pretrain --config=experiments/configs/quickstart.py --config.data.corpus=DIR --workdir=DIR
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig(model=ModelConfig(num_layers=2, hidden_size=128, num_heads=2, pooling="max"))
    config.data.pairs = "balanced"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_ratio = 0.1
    config.train.time_budget = 500.0
    config.train.batch_size = 32
    config.train.log_every = 20
    config.train.checkpoint_every = 200
    config.eval.every = 200
    return config
