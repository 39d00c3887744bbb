"""The sizes of the released models, tiny to large, with the settings of their first phase (Devlin et al. 2018).

python -m experiments.pretrain --config=experiments/configs/sizes.py:mini --config.data.corpus=DIR --workdir=DIR

Cost, computed for a vocabulary of 30,522: 33 billion positions each; floating-point operations: tiny 2.1e17, mini
9.1e17, small 3.1e18, medium 5.6e18, base 1.8e19, large 6.2e19. None has been run to the end yet.
"""

from typing import Literal

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig

# layers, width, heads
SIZES = {
    "tiny": (2, 128, 2),
    "mini": (4, 256, 4),
    "small": (4, 512, 8),
    "medium": (8, 512, 8),
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}


def get_config(size: Literal["tiny", "mini", "small", "medium", "base", "large"]) -> PretrainingConfig:
    layers, width, heads = SIZES[size]
    config = PretrainingConfig()
    config.model = ModelConfig(num_layers=layers, hidden_size=width, num_heads=heads)
    config.train.num_steps = 1_000_000
    return config
