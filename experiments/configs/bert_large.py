"""BERT-large as released: 24 layers, width 1024, 16 heads; otherwise as `bert_base` (Devlin et al. 2018).

python -m experiments.pretrain --config=experiments/configs/bert_large.py --config.data.corpus=DIR --workdir=DIR

Source: github.com/google-research/bert. Cost, computed: 43 billion positions, 8.2e19 floating-point operations. Not run
to its end here.
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig()
    config.model = ModelConfig(num_layers=24, hidden_size=1024, num_heads=16, activation="gelu_tanh")
    config.data.max_examples = 1
    config.data.max_predictions = 20
    config.data.phases = "900000: sequence_length=512 max_predictions=76"
    config.optimizer.name = "bert_adam"
    config.optimizer.warmup_steps = 10_000
    config.optimizer.decay_from = "start"
    config.train.num_steps = 1_000_000
    return config
