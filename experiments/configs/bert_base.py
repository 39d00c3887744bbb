"""BERT-base as released: 12 layers, width 768, tanh GELU, BERT's own Adam, 128 then 512 tokens (Devlin et al. 2018).

python -m experiments.pretrain --config=experiments/configs/bert_base.py --config.data.corpus=DIR --workdir=DIR

Source: github.com/google-research/bert. As there, rows are not packed. Computed cost: 43 billion positions, 2.4e19
floating-point operations. Not yet run to the end.
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig()
    config.model = ModelConfig(num_layers=12, hidden_size=768, num_heads=12, activation="gelu_tanh")
    config.data.max_examples = 1
    config.data.max_predictions = 20
    config.data.phases = "900000: sequence_length=512 max_predictions=76"
    config.optimizer.name = "bert_adam"
    config.optimizer.warmup_steps = 10_000
    config.optimizer.decay_from = "start"
    config.train.num_steps = 1_000_000
    return config
