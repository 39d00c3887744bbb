"""Summaries of a document's own sentences, from a pretrained model (BertSum: Liu 2019, arXiv 1903.10318).

    python -m experiments.finetune --config=experiments/configs/finetune_summarization.py --train=train.jsonl \\
        --validation=dev.jsonl --init_from=runs/articles --workdir=runs/summaries

Three sentences are chosen; --config.data.num_sentences=1 suits short documents, such as the abstracts of SciTLDR. The
best checkpoint has the highest ROUGE-1 on the validation file.

Measured on two busy cores, on SciTLDR's abstracts, in about ten minutes, with --config.data.num_sentences=1
--config.data.sequence_length=128 --config.optimizer.learning_rate=3e-4: a `mini` of an hour's pretraining reaches a
validation ROUGE-1 of 0.360 (the first sentence: 0.272). See docs/summarization.md.
"""

from bert_jax.tasks.extractive_summarization import ExtractiveSummarizationConfig
from experiments.configs.finetuning import set_common


def get_config() -> ExtractiveSummarizationConfig:
    config = ExtractiveSummarizationConfig()
    set_common(config.optimizer, config.train, config.eval)
    config.data.sequence_length = 512
    config.train.batch_size = 8
    return config
