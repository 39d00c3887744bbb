"""Summaries of a document's own sentences, from a pretrained model (BertSum: Liu 2019, arXiv 1903.10318).

    python -m experiments.finetune --config=experiments/configs/finetune_summarization.py --train=train.jsonl \\
        --validation=dev.jsonl --init_from=runs/articles --workdir=runs/summaries

Three sentences are chosen; --config.data.num_sentences=1 suits short documents, such as the abstracts of SciTLDR. The
best checkpoint has the highest ROUGE-1 on the validation file.
"""

from bert_jax.tasks.extractive_summarization import ExtractiveSummarizationConfig


def get_config() -> ExtractiveSummarizationConfig:
    config = ExtractiveSummarizationConfig()
    config.data.sequence_length = 512
    config.optimizer.learning_rate = 5e-5
    config.optimizer.warmup_ratio = 0.1
    config.train.num_epochs = 3.0
    config.train.batch_size = 8
    config.train.log_every = 20
    config.train.checkpoint_every = 100
    config.eval.every = 100
    config.eval.best_by = "summary_rouge1"
    return config
