"""Cramming: one day on one GPU, 16 layers of width 768 with gated blocks and no biases (Geiping & Goldstein 2022).

    python -m experiments.pretrain --config=experiments/configs/cramming.py --config.data.corpus=DIR --workdir=DIR \\
        --config.model.dtype=bfloat16 --config.train.grad_accumulation_steps=32

Source: arXiv 2212.14034 and github.com/JonasGeiping/cramming. The rate rises over the first half of the steps and falls
over the second; rows per step grow to 8,192 over six tenths. Published: GLUE 78.6 on an A6000. Changed: the number of
steps is fixed, not chosen by the clock, and the rate is a triangle of the steps; sinusoids are scaled to the word table
at its start, not by a learned number; batches grow in eight sizes. Prepare the corpus with `--vocab_size=32768`.
`cramming.py:tiny` is for two cores. Computed cost: 15 billion positions, 9.1e18 floating-point
operations. Not yet run to the end.
"""

from typing import Literal

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig
from experiments.configs.two_cores import set_two_cores


def get_config(size: Literal["full", "tiny"] = "full") -> PretrainingConfig:
    config = PretrainingConfig()
    tiny = size == "tiny"
    config.model = ModelConfig(
        num_layers=4 if tiny else 16,
        hidden_size=128 if tiny else 768,
        num_heads=2 if tiny else 12,
        intermediate_size=256 if tiny else 1536,  # theirs, 3,072, counts both halves of a gated layer
        positions="sinusoidal",
        num_token_types=0,
        attention_bias=False,
        feed_forward="gated",
        feed_forward_bias=False,
        norm_position="pre",
        head_transform="none",
        output_bias=False,
        dropout=0.0,
        attention_dropout=0.0,
    )
    config.data.examples = "full_sentences"
    config.data.short_probability = 0.0
    config.data.mask_rate = 0.25
    config.data.ramp_from, config.data.ramp_increment, config.data.ramp_steps = 1_024, None, 12_000
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_ratio = 0.5
    config.optimizer.b2 = 0.98
    config.optimizer.epsilon = 1e-12
    config.optimizer.clip_norm = 0.5
    config.train.batch_size = 8_192
    config.train.num_steps = 20_000
    if tiny:
        set_two_cores(config)
        config.data.ramp_from, config.data.ramp_steps = 4, 3_600
    return config
