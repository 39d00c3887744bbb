"""The right one of a question's candidates, from a pretrained model: three epochs at 2e-5, as for SWAG (Devlin et al.
2018, section 4.4).

    python -m experiments.finetune --config=experiments/configs/finetune_multiple_choice.py --train=train.jsonl \\
        --validation=dev.jsonl --init_from=runs/articles --workdir=runs/choices

A row of 512 tokens has room for four candidates of 128. Longer ones need a longer row, not more positions:
--config.data.longest_example=512 --config.data.sequence_length=2048.
"""

from bert_jax.tasks.multiple_choice import MultipleChoiceConfig
from experiments.configs.finetuning import set_common


def get_config() -> MultipleChoiceConfig:
    config = MultipleChoiceConfig()
    set_common(config.optimizer, config.train, config.eval)
    config.data.sequence_length = 512
    config.optimizer.learning_rate = 2e-5
    config.train.batch_size = 8
    return config
