"""NeoBERT: 28 layers of width 768, SwiGLU, RMS norms, rotary positions, in two phases (Le Breton et al. 2025).

    python -m experiments.pretrain --config=experiments/configs/neobert.py --config.data.corpus=DIR --workdir=DIR \\
        --config.model.dtype=bfloat16 --config.train.grad_accumulation_steps=8

Source: arXiv 2502.19587 and github.com/chandar-lab/NeoBERT. 2.1 trillion tokens in rows of 1,024, then 100 billion in
rows of 4,096. All predicted tokens become [MASK]. Changed: rotary positions pair features of two halves of a head, not
neighbours, which is the same model with its features in another order; the second phase has the rate at which the
first one ends. Give the second phase a corpus of longer texts by `corpus=DIR` in `data.phases`. `neobert.py:tiny` is
for two cores. Computed cost: 2,202 billion positions, 3.3e21 floating-point operations. Not yet run to the end.
"""

from typing import Literal

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig
from experiments.configs.two_cores import set_two_cores


def get_config(size: Literal["full", "tiny"] = "full") -> PretrainingConfig:
    config = PretrainingConfig()
    tiny = size == "tiny"
    config.model = ModelConfig(
        num_layers=6 if tiny else 28,
        hidden_size=128 if tiny else 768,
        num_heads=2 if tiny else 12,
        intermediate_size=320 if tiny else 2048,
        positions="rotary",
        num_token_types=0,
        attention_bias=False,
        feed_forward="gated",
        feed_forward_bias=False,
        activation="silu",
        norm="rms",
        norm_position="pre",
        embedding_norm=False,
        layer_norm_epsilon=1e-5,
        head_transform="none",
        tied_output=False,
        dropout=0.0,
        attention_dropout=0.0,
    )
    config.data.sequence_length = 1024
    config.data.examples = "full_sentences"
    config.data.short_probability = 0.0
    config.data.mask_rate = 0.2
    config.data.mask_share, config.data.random_share = 1.0, 0.0
    config.data.phases = "1000000: sequence_length=4096 batch_size=512"
    config.optimizer.learning_rate = 6e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.final_rate = 0.1
    config.optimizer.warmup_steps = 2_000
    config.optimizer.phases = "1000000: learning_rate=6e-5 final_rate=1.0 warmup_steps=0"
    config.optimizer.b2 = 0.95
    config.optimizer.epsilon = 1e-8
    config.train.batch_size = 2_048
    config.train.num_steps = 1_050_000
    if tiny:
        set_two_cores(config)
        config.data.sequence_length = 128
        config.data.phases = "5000: sequence_length=512 batch_size=4"
        config.optimizer.learning_rate = 2e-3
        config.optimizer.warmup_steps = 300
        config.optimizer.phases = "5000: learning_rate=2e-4 final_rate=1.0 warmup_steps=0"
    return config
