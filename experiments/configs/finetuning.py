"""What the recipes of fine-tuning have in common."""

from bert_jax.optim.optimizer import OptimizerConfig
from bert_jax.training.config import EvalConfig, TrainConfig


def set_common(optimizer: OptimizerConfig, train: TrainConfig, evaluation: EvalConfig) -> None:
    """Sets rates and lengths as in BERT (Devlin et al. 2018), with more steps on small sets.

    Few steps on a small set often fail (Mosbach et al. 2021, arXiv 2006.04884; Zhang et al. 2021, arXiv 2006.05987).
    The run is scored ten times, and the best checkpoint by the task's first score is kept.
    """
    optimizer.learning_rate = 5e-5
    optimizer.warmup_ratio = 0.1
    train.num_epochs = 3.0
    train.min_steps = 500
    train.log_every = 20
    train.checkpoint_every = 100
    evaluation.every = None
    evaluation.best_by = None
