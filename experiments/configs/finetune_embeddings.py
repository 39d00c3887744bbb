"""Embeddings of texts from a pretrained model: contrastive, or from numbers for how similar texts are.

    python -m experiments.finetune --config=experiments/configs/finetune_embeddings.py --train=pairs.jsonl \\
        --validation=held_out.jsonl --init_from=runs/articles --workdir=runs/embeddings

The columns of the files say what is learned: single texts (SimCSE), pairs, triplets, pairs with labels (NLI), or pairs
with a number. Rates, temperature and negatives are those of supervised SimCSE (Gao et al. 2021, arXiv 2104.08821); the
mean over all tokens is pooled, as in Sentence-BERT. A validation file with numbers or labels is scored by Spearman's
correlation, one of pairs by retrieval; --config.eval.best_by chooses the best checkpoint by one of the scores, such as
embedding_spearman or embedding_ndcg_10.

Measured on two busy cores, on 8,000 rows of SNLI, in about five minutes, with --config.data.sequence_length=128
--config.train.batch_size=8 --config.optimizer.learning_rate=3e-4: a `mini` of an hour's pretraining reaches a Spearman
correlation of 0.397 on the test file. See docs/embeddings.md.
"""

from bert_jax.tasks.embedding import EmbeddingRunConfig
from experiments.configs.finetuning import set_common


def get_config() -> EmbeddingRunConfig:
    config = EmbeddingRunConfig()
    set_common(config.optimizer, config.train, config.eval)
    config.model.pooling = "mean"
    config.train.batch_size = 64  # rows: more texts in a batch are more negatives
    return config
