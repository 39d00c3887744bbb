"""Embeddings of texts from a pretrained model: contrastive, or from numbers for how similar texts are.

    python -m experiments.finetune --config=experiments/configs/finetune_embeddings.py --train=pairs.jsonl \\
        --validation=held_out.jsonl --init_from=runs/articles --workdir=runs/embeddings

The columns of the files say what is learned: single texts (SimCSE), pairs, triplets, pairs with labels (NLI), or pairs
with a number. Rates, temperature and negatives are those of supervised SimCSE (Gao et al. 2021, arXiv 2104.08821); the
mean over all tokens is pooled, as in Sentence-BERT. A validation file with numbers or labels is scored by Spearman's
correlation, one of pairs by retrieval; --config.eval.best_by chooses the best checkpoint by one of the scores, such as
embedding_spearman or embedding_ndcg_10.
"""

from bert_jax.tasks.embedding import EmbeddingRunConfig


def get_config() -> EmbeddingRunConfig:
    config = EmbeddingRunConfig()
    config.model.pooling = "mean"
    config.optimizer.learning_rate = 5e-5
    config.optimizer.warmup_ratio = 0.1
    config.train.num_epochs = 3.0
    config.train.batch_size = 64  # rows: more texts in a batch are more negatives
    config.train.log_every = 20
    config.train.checkpoint_every = 100
    config.eval.every = 100
    return config
