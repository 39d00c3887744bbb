"""ModernBERT-large, in its four phases (Warner et al. 2024, arXiv 2412.13663); `:tiny` is for two cores.

    python -m experiments.pretrain --config=experiments/configs/modernbert_large.py --config.data.corpus=DIR \\
        --workdir=DIR --config.model.dtype=bfloat16 --config.train.grad_accumulation_steps=22

Source: the paper, and the files of github.com/AnswerDotAI/ModernBERT. As modernbert_base.py, but after 900 billion
tokens the rate drops to a tenth, for 800 billion more; warm-up 2 billion, and 448 to 4,928 rows over the first 10
billion. Changed: batches grow in eleven sizes, not by single rows; weight decay is in proportion to the rate in later
phases too; the published run went back to an earlier checkpoint when it dropped the rate (`train.fork_from`). Computed
cost: 2,000 billion positions, 4.9e21 floating-point operations. Not yet run to the end.
"""

from typing import Literal

from bert_jax.tasks.pretraining import PretrainingConfig
from experiments.configs.modernbert_family import LONG_BASE, VOCABULARY, Part, body, recipe, set_parts, set_tiny


def get_config(size: Literal["full", "tiny"] = "full") -> PretrainingConfig:
    if size == "tiny":
        config = recipe(body(7, 128, 320, 2), 5e-4, 1e-5)
        set_tiny(config)
        return config
    config = recipe(body(28, 1024, 2624, 16), 5e-4, 1e-5)
    config.model.vocab_size = VOCABULARY
    config.data.ramp_from, config.data.ramp_increment, config.data.ramp_steps = 448, None, 4_000
    config.optimizer.warmup_steps = 3_900
    config.train.batch_size = 4_928
    lower = {"optimizer": "learning_rate=5e-5 warmup_steps=0"}
    longer = {"data": "sequence_length=8192 batch_size=616", "model": f"rotary_base={LONG_BASE:g}"}
    decay = {"optimizer": "decay_ratio=1.0"}
    set_parts(config, 180_400, [Part(158_500, lower), Part(49_500, longer), Part(9_900, decay)])
    return config
