"""BERT-medium: 8 layers, width 512, 8 heads; otherwise the released recipe's numbers, phase one (Devlin et al. 2018).

python -m experiments.pretrain --config=experiments/configs/medium.py --config.data.corpus=DIR --workdir=DIR

Cost, computed for a vocabulary of 30,522: 33 billion positions, 5.6e18 floating-point operations. Not run to its end
here.
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig()
    config.model = ModelConfig(num_layers=8, hidden_size=512, num_heads=8)
    config.train.num_steps = 1_000_000
    return config
