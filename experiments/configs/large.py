"""BERT-large (L=24, H=1024).

python -m experiments.pretrain --config=experiments/configs/large.py --config.data.corpus=DIR --workdir=DIR
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig(model=ModelConfig(num_layers=24, hidden_size=1024, num_heads=16))
    config.train.num_steps = 1_000_000
    return config
