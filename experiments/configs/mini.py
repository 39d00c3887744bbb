"""BERT-mini: 4 layers, width 256, 4 heads; otherwise the released recipe's numbers, phase one (Devlin et al. 2018).

python -m experiments.pretrain --config=experiments/configs/mini.py --config.data.corpus=DIR --workdir=DIR

Cost, computed for a vocabulary of 30,522: 33 billion positions, 9.1e17 floating-point operations. Not run to its end
here.
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig()
    config.model = ModelConfig(num_layers=4, hidden_size=256, num_heads=4)
    config.train.num_steps = 1_000_000
    return config
