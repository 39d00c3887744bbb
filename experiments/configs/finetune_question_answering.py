"""Answers cut from passages: three epochs at a rate of 5e-5 with batches of 32, as in BERT (Devlin et al. 2018, 4.2).

    python -m experiments.finetune --config=experiments/configs/finetune_question_answering.py --train=train.json \\
        --validation=dev.json --init_from=runs/articles --workdir=runs/answers

Rows have 384 tokens, questions up to 64, as there; windows advance by half of the room that is left (158 tokens), there
by 128. For SQuAD 2.0, BERT takes two epochs (section 4.3): --config.train.num_epochs=2.

Measured on two busy cores, on 7,468 questions of QAMR, in about ten minutes, with --config.data.sequence_length=128
--config.train.batch_size=16 --config.optimizer.learning_rate=3e-4: a `mini` of an hour's pretraining reaches a test F1
of 0.312 (the most frequent place: 0.066). See docs/question_answering.md.
"""

from bert_jax.tasks.question_answering import QuestionAnsweringConfig
from experiments.configs.finetuning import set_common


def get_config() -> QuestionAnsweringConfig:
    config = QuestionAnsweringConfig()
    set_common(config.optimizer, config.train, config.eval)
    config.train.batch_size = 32
    return config
