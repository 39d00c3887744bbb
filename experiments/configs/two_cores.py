"""What the variants `:tiny` of the recipes have in common: a narrow model that learns on two cores in half an hour."""

from bert_jax.tasks.pretraining import PretrainingConfig


def set_two_cores(config: PretrainingConfig) -> None:
    """Sets initial weights, batches and the cadence; and 6,000 steps, but for a run with a time budget."""
    config.model.initializer_range = 0.06  # a narrow model would begin with nearly uniform attention
    config.data.prefetch = 8
    config.train.batch_size = 16
    if config.train.time_budget is None:
        config.train.num_steps = 6_000
    config.train.log_every = 50
    config.train.checkpoint_every = config.eval.every = 500
