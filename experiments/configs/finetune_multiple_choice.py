"""The right one of a question's candidates, from a pretrained model: three epochs at 2e-5, as for SWAG (Devlin et al.
2018, section 4.4).

    python -m experiments.finetune --config=experiments/configs/finetune_multiple_choice.py --train=train.jsonl \\
        --validation=dev.jsonl --init_from=runs/articles --workdir=runs/choices

A row of 512 tokens has room for four candidates of 128. Longer ones need a longer row, not more positions:
--config.data.longest_example=512 --config.data.sequence_length=2048.
"""

from bert_jax.tasks.multiple_choice import MultipleChoiceConfig


def get_config() -> MultipleChoiceConfig:
    config = MultipleChoiceConfig()
    config.data.sequence_length = 512
    config.optimizer.learning_rate = 2e-5
    config.optimizer.warmup_ratio = 0.1
    config.train.num_epochs = 3.0
    config.train.batch_size = 8
    config.train.log_every = 20
    config.train.checkpoint_every = 100
    config.eval.every = 100
    config.eval.best_by = "choice_accuracy"
    return config
