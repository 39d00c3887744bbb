"""BERT-tiny (L=2, H=128).

python -m experiments.pretrain --config=experiments/configs/tiny.py --config.data.corpus=DIR --workdir=DIR
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig(model=ModelConfig(num_layers=2, hidden_size=128, num_heads=2))
    config.train.num_steps = 1_000_000
    return config
