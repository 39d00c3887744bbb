"""Small models of each family."""

import dataclasses

from bert_jax.model.config import ModelConfig

MODERNBERT = ModelConfig(
    vocab_size=60,
    num_layers=4,
    hidden_size=24,
    num_heads=3,
    intermediate_size=20,
    positions="rotary",
    max_positions=512,
    num_token_types=0,
    rotary_base=160_000.0,
    local_rotary_base=10_000.0,
    local_window=8,
    attention_bias=False,
    feed_forward="gated",
    feed_forward_bias=False,
    norm_position="pre",
    norm_bias=False,
    first_norm=False,
    layer_norm_epsilon=1e-5,
    head_transform="all",
    head_bias=False,
    initializer="modernbert",
    dropout=0.0,
    attention_dropout=0.0,
    embedding_dropout=0.0,
    feed_forward_dropout=0.0,
)
NOMIC_BERT = ModelConfig(
    vocab_size=60,
    num_layers=2,
    hidden_size=24,
    num_heads=3,
    intermediate_size=20,
    positions="rotary",
    max_positions=512,
    rotary_base=1000.0,
    attention_bias=False,
    feed_forward="gated",
    feed_forward_bias=False,
    activation="silu",
    dropout=0.0,
    attention_dropout=0.0,
)
EUROBERT = ModelConfig(
    vocab_size=60,
    num_layers=2,
    hidden_size=24,
    num_heads=6,
    num_kv_heads=2,
    intermediate_size=20,
    positions="rotary",
    max_positions=512,
    num_token_types=0,
    rotary_base=250_000.0,
    attention_bias=False,
    feed_forward="gated",
    feed_forward_bias=False,
    activation="silu",
    norm="rms",
    norm_position="pre",
    embedding_norm=False,
    layer_norm_epsilon=1e-5,
    head_transform="none",
    output_bias=False,
    tied_output=False,
    pooling="mean",
    dropout=0.0,
    attention_dropout=0.0,
)


def changed(config: ModelConfig, **fields) -> ModelConfig:
    """A copy of a config with other values."""
    return dataclasses.replace(config, **fields)
