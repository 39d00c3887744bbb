"""RoBERTa's objective and schedule for BERT-base: full sentences, no next-sentence prediction (Liu et al. 2019).

    python -m experiments.pretrain --config=experiments/configs/roberta_base.py --config.data.corpus=DIR \\
        --workdir=DIR --config.train.grad_accumulation_steps=8

Source: arXiv 1907.11692 and github.com/facebookresearch/fairseq. Rows are packed without attention across documents;
RoBERTa joins the documents of a row. Computed cost: 131 billion positions, 7.7e19 floating-point operations. Not yet
run to the end.
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig


def get_config() -> PretrainingConfig:
    config = PretrainingConfig()
    config.model = ModelConfig(num_layers=12, hidden_size=768, num_heads=12)
    config.data.sequence_length = 512
    config.data.examples = "full_sentences"
    config.data.short_probability = 0.0
    config.optimizer.learning_rate = 5e-4
    config.optimizer.warmup_steps = 10_000
    config.optimizer.b2 = 0.98
    config.optimizer.clip_norm = 0.0
    config.train.batch_size = 2_048
    config.train.num_steps = 125_000
    return config
