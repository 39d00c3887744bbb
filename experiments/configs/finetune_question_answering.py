"""Answers cut from passages: three epochs at a rate of 5e-5 with batches of 32, as in BERT (Devlin et al. 2018, 4.2).

    python -m experiments.finetune --config=experiments/configs/finetune_question_answering.py --train=train.json \\
        --validation=dev.json --init_from=runs/articles --workdir=runs/answers

Rows have 384 tokens, questions up to 64, as there; windows advance by half of the room that is left (158 tokens), there
by 128. For SQuAD 2.0, BERT takes two epochs (section 4.3): --config.train.num_epochs=2.
"""

from bert_jax.tasks.question_answering import QuestionAnsweringConfig


def get_config() -> QuestionAnsweringConfig:
    config = QuestionAnsweringConfig()
    config.optimizer.learning_rate = 5e-5
    config.optimizer.warmup_ratio = 0.1
    config.train.num_epochs = 3.0
    config.train.batch_size = 32
    config.train.log_every = 20
    config.train.checkpoint_every = 100
    config.eval.every = 500  # scoring SQuAD's 12,000 held-out windows takes as long as 130 steps
    config.eval.best_by = "span_f1"
    return config
