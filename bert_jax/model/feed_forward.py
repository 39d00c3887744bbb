"""The feed-forward block of a layer, and its activations. `flops.py` counts its products."""

import flax.linen as nn
import jax

from bert_jax.model.config import ModelConfig
from bert_jax.model.layers import Dense


def activation(config: ModelConfig, x: jax.Array) -> jax.Array:
    """Computes the GELU, exactly or by its tanh approximation (Hendrycks & Gimpel 2016)."""
    return jax.nn.gelu(x, approximate=config.activation == "gelu_tanh")


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them: [B, S, H] to [B, S, H]."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        config = self.config
        x = activation(config, Dense(config, (config.feed_forward_size,), ("embed",), ("mlp",), name="intermediate")(x))
        x = nn.with_logical_constraint(x, ("batch", "sequence", "activation_mlp"))
        return Dense(config, (config.hidden_size,), ("mlp",), ("embed",), name="output")(x)
