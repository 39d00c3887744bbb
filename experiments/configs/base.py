"""BERT-base: 12 layers, width 768, 12 heads; otherwise the released recipe's numbers, phase one (Devlin et al. 2018).

python -m experiments.pretrain --config=experiments/configs/base.py --config.data.corpus=DIR --workdir=DIR

Cost, computed for a vocabulary of 30,522: 33 billion positions, 1.8e19 floating-point operations. Not run to its end
here.
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig()
    config.model = ModelConfig(num_layers=12, hidden_size=768, num_heads=12)
    config.train.num_steps = 1_000_000
    return config
