"""BERT-large in 8,601 steps of large batches with LAMB, in NVIDIA's two phases (You et al. 2020, arXiv 1904.00962).

    python -m experiments.pretrain --config=experiments/configs/bert_large_lamb.py --config.data.corpus=DIR \\
        --workdir=DIR --config.train.grad_accumulation_steps=64

Source: github.com/NVIDIA/DeepLearningExamples, PyTorch BERT. Choose `train.grad_accumulation_steps` so that a
microbatch of the 65,536 and 32,768 rows fits in memory. Computed cost: 85 billion positions, 1.6e20 floating-point
operations. Not yet run to the end.
"""

from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import PretrainingConfig

PHASE_TWO = 7_038


def get_config() -> PretrainingConfig:
    config = PretrainingConfig()
    config.model = ModelConfig(num_layers=24, hidden_size=1024, num_heads=16)
    config.data.max_examples = 1
    config.data.max_predictions = 20
    config.data.phases = f"{PHASE_TWO}: sequence_length=512 max_predictions=80 batch_size=32768"
    config.optimizer.name = "lamb"
    config.optimizer.learning_rate = 6e-3
    config.optimizer.schedule = "polynomial"
    config.optimizer.power = 0.5
    config.optimizer.decay_from = "start"
    config.optimizer.warmup_ratio = 0.2843
    config.optimizer.phases = f"{PHASE_TWO}: learning_rate=0.004 warmup_ratio=0.128"
    config.train.batch_size = 65_536
    config.train.num_steps = PHASE_TWO + 1_563
    return config
