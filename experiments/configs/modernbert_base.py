"""ModernBERT-base, in its three phases (Warner et al. 2024, arXiv 2412.13663); `:tiny` is for two cores.

    python -m experiments.pretrain --config=experiments/configs/modernbert_base.py --config.data.corpus=DIR \\
        --workdir=DIR --config.model.dtype=bfloat16 --config.train.grad_accumulation_steps=12

Source: the files of github.com/AnswerDotAI/ModernBERT. 1,719 billion tokens in rows of 1,024 at a constant rate, after
a warm-up of 3 billion, with 768 to 4,608 rows over the first 50 billion; then 250 billion in rows of 8,192, at a lower
rate and with another base of the rotary positions in global layers; then 50 billion in which the rate decays. Changed:
batches grow in six sizes, not by single rows; the steps are those in which full rows have so many tokens; weight decay
is in proportion to the rate in later phases too. Computed cost: 2,019 billion positions, 1.8e21 floating-point
operations. Not yet run to the end.
"""

from typing import Literal

from bert_jax.tasks.pretraining import PretrainingConfig
from experiments.configs.modernbert_family import LONG_BASE, VOCABULARY, Part, body, recipe, set_parts, set_tiny


def get_config(size: Literal["full", "tiny"] = "full") -> PretrainingConfig:
    if size == "tiny":
        config = recipe(body(4, 128, 192, 2), 8e-4, 1e-5)
        set_tiny(config)
        return config
    config = recipe(body(22, 768, 1152, 12), 8e-4, 1e-5)
    config.model.vocab_size = VOCABULARY
    config.data.ramp_from, config.data.ramp_increment, config.data.ramp_steps = 768, None, 21_200
    config.optimizer.warmup_steps = 3_800
    config.train.batch_size = 4_608
    longer = {
        "data": "sequence_length=8192 batch_size=576",
        "model": f"rotary_base={LONG_BASE:g}",
        "optimizer": "learning_rate=3e-4 warmup_steps=0",
    }
    set_parts(config, 374_900, [Part(53_000, longer), Part(10_600, {"optimizer": "decay_ratio=1.0"})])
    return config
