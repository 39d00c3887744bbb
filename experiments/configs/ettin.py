"""The encoders of Ettin, 17 to 400 million parameters, in their three phases (Weller et al. 2025, arXiv 2507.11412).

    python -m experiments.pretrain --config=experiments/configs/ettin.py:17m --config.data.corpus=DIR --workdir=DIR \\
        --config.model.dtype=bfloat16 --config.train.grad_accumulation_steps=4

Source: github.com/JHU-CLSP/ettin-encoder-vs-decoder. ModernBERT's model and optimiser; 1.7 trillion tokens in rows of
1,024, then 250 billion in rows of 8,192 while the rate decays to a half, then 50 billion in which half as many tokens
are predicted while it decays to a twenty-fifth of that. Changed: batch sizes and warm-up are those of
modernbert_base.py; weight decay is in proportion to the rate in later phases too. `ettin.py:tiny` is for two cores.
Computed cost: 2,000 billion positions; floating-point operations 17m 1.3e20, 32m 3.0e20, 68m 8.0e20, 150m 1.8e21, 400m
4.9e21, 1b 1.3e22. None has been run to the end yet.
"""

from typing import Literal

from bert_jax.tasks.pretraining import PretrainingConfig
from experiments.configs.modernbert_family import LONG_BASE, VOCABULARY, Part, body, recipe, set_parts, set_tiny

# layers, width, width of the feed-forward blocks, heads; peak rate, weight decay
SIZES = {
    "17m": ((7, 256, 384, 4), 3e-3, 3e-4),
    "32m": ((10, 384, 576, 6), 3e-3, 3e-4),
    "68m": ((19, 512, 768, 8), 3e-3, 3e-4),
    "150m": ((22, 768, 1152, 12), 8e-4, 1e-5),
    "400m": ((28, 1024, 2624, 16), 5e-4, 1e-5),
    "1b": ((28, 1792, 3840, 28), 5e-4, 5e-5),
}


def get_config(size: Literal["17m", "32m", "68m", "150m", "400m", "1b", "tiny"]) -> PretrainingConfig:
    if size == "tiny":
        config = recipe(body(7, 128, 192, 2), 3e-3, 3e-4)
        set_tiny(config)
        return config
    shape, rate, weight_decay = SIZES[size]
    config = recipe(body(*shape), rate, weight_decay)
    config.model.vocab_size = VOCABULARY
    config.data.ramp_from, config.data.ramp_increment, config.data.ramp_steps = 768, None, 21_200
    config.optimizer.warmup_steps = 3_800
    config.train.batch_size = 4_608
    longer = {
        "data": "sequence_length=8192 batch_size=576",
        "model": f"rotary_base={LONG_BASE:g}",
        "optimizer": "warmup_steps=0 decay_ratio=1.0 final_rate=0.5",
    }
    last = {"data": "mask_rate=0.15", "optimizer": f"learning_rate={rate / 2:g} final_rate=0.04"}
    set_parts(config, 370_900, [Part(53_000, longer), Part(10_600, last)])
    return config
