"""bert_jax: pretrain, adapt and understand BERT-style encoders in JAX."""

__version__ = "0.1.0"
