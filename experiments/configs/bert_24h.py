"""24h-BERT: BERT-large with norms before the blocks, in a day on eight 12 GB cards (Izsak et al. 2021).

    python -m experiments.pretrain --config=experiments/configs/bert_24h.py --config.data.corpus=DIR --workdir=DIR \\
        --config.model.dtype=bfloat16 --config.train.grad_accumulation_steps=16

Source: arXiv 2104.07705 and github.com/IntelLabs/academic-budget-bert. No next-sentence prediction, 128 tokens. The
number of steps is chosen at the first start, from the measured speed, so that they fit into 24 hours; give another
`--config.train.time_budget` in seconds. `bert_24h.py:tiny` is for two cores and half an hour. Not yet run to the end.
"""

from typing import Literal

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig
from experiments.configs.two_cores import set_two_cores


def get_config(size: Literal["full", "tiny"] = "full") -> PretrainingConfig:
    config = PretrainingConfig()
    tiny = size == "tiny"
    config.model = ModelConfig(
        num_layers=4 if tiny else 24,
        hidden_size=128 if tiny else 1024,
        num_heads=2 if tiny else 16,
        norm_position="pre",
    )
    config.data.examples = "full_sentences"
    config.data.short_probability = 0.0
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_ratio = 0.06
    config.optimizer.b2 = 0.98
    config.optimizer.clip_norm = 0.0
    config.train.batch_size = 4_096
    config.train.time_budget = 24 * 3600.0
    if tiny:
        set_two_cores(config)
        config.model.dropout = config.model.attention_dropout = 0.0
        config.train.time_budget = 1800.0
    return config
