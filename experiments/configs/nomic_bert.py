"""nomic-bert-2048: BERT-base with rotary positions and SwiGLU, in rows of 2,048 tokens (Nussbaum et al. 2024).

    python -m experiments.pretrain --config=experiments/configs/nomic_bert.py --config.data.corpus=DIR --workdir=DIR \\
        --config.model.dtype=bfloat16 --config.train.grad_accumulation_steps=8

Source: arXiv 2402.01613 and github.com/nomic-ai/contrastors. Computed cost: 839 billion positions. `nomic_bert.py:tiny`
is for two cores. Not yet run to the end.
"""

from typing import Literal

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig
from experiments.configs.two_cores import set_two_cores


def get_config(size: Literal["full", "tiny"] = "full") -> PretrainingConfig:
    config = PretrainingConfig()
    tiny = size == "tiny"
    config.model = ModelConfig(
        num_layers=4 if tiny else 12,
        hidden_size=128 if tiny else 768,
        num_heads=2 if tiny else 12,
        intermediate_size=320 if tiny else 3072,
        positions="rotary",
        rotary_base=1_000.0,
        attention_bias=False,
        feed_forward="gated",
        feed_forward_bias=False,
        activation="silu",
        dropout=0.0,
        attention_dropout=0.0,
    )
    config.data.sequence_length = 2048
    config.data.examples = "full_sentences"
    config.data.short_probability = 0.0
    config.data.mask_rate = 0.3
    config.optimizer.learning_rate = 5e-4
    config.optimizer.warmup_ratio = 0.06
    config.optimizer.b2 = 0.98
    config.optimizer.weight_decay = 1e-5
    config.optimizer.clip_norm = 0.0
    config.train.batch_size = 4_096
    config.train.num_steps = 100_000
    if tiny:
        set_two_cores(config)
        config.data.sequence_length = 128
        config.optimizer.learning_rate = 1e-3
    return config
