"""MosaicBERT-base: BERT-base with ALiBi and gated feed-forward blocks, 128 tokens (Portes et al. 2023).

    python -m experiments.pretrain --config=experiments/configs/mosaicbert_base.py --config.data.corpus=DIR \\
        --workdir=DIR --config.model.dtype=bfloat16 --config.train.grad_accumulation_steps=4

Source: arXiv 2312.17482 and github.com/mosaicml/examples. 30 % of the tokens are predicted, no next-sentence
prediction; the published model scored 79.6 on GLUE after 1.13 hours on eight A100. Changed: both halves of a gated
layer have biases. Computed cost: 37 billion positions, 2.7e19 floating-point operations. `mosaicbert_base.py:tiny` is
for two cores. Not yet run to the end.
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
        positions="alibi",
        feed_forward="gated",
        attention_dropout=0.0,
    )
    config.data.examples = "full_sentences"
    config.data.short_probability = 0.0
    config.data.mask_rate = 0.3
    config.optimizer.learning_rate = 5e-4
    config.optimizer.warmup_ratio = 0.06
    config.optimizer.final_rate = 0.02
    config.optimizer.b2 = 0.98
    config.optimizer.weight_decay = 1e-5 / 5e-4  # theirs, 1e-5, is not multiplied by the peak of the rate
    config.optimizer.clip_norm = 0.0
    config.train.batch_size = 4_096
    config.train.num_steps = 70_000
    if tiny:
        set_two_cores(config)
        config.model.dropout = 0.0
        config.optimizer.learning_rate = 1e-3
    return config
