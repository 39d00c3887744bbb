"""BERT-medium (L=8, H=512).

python -m experiments.pretrain --config=experiments/configs/medium.py --config.data.corpus=DIR --workdir=DIR
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig(model=ModelConfig(num_layers=8, hidden_size=512, num_heads=8))
    config.train.num_steps = 1_000_000
    return config
