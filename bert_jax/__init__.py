"""bert_jax: pretraining, adapting and understanding BERT-style encoders in JAX."""

__version__ = "0.1.0"
