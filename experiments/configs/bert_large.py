"""BERT-large as released: 24 layers, width 1024, 16 heads; otherwise as `bert_base` (Devlin et al. 2018).

python -m experiments.pretrain --config=experiments/configs/bert_large.py --config.data.corpus=DIR --workdir=DIR

Source: github.com/google-research/bert. Computed cost: 43 billion positions, 8.2e19 floating-point operations. Not yet
run to the end.
"""

from bert_jax.tasks.pretraining import PretrainingConfig
from experiments.configs import bert_base


def get_config() -> PretrainingConfig:
    config = bert_base.get_config()
    config.model.num_layers = 24
    config.model.hidden_size = 1024
    config.model.num_heads = 16
    return config
