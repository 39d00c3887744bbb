"""The feed-forward block of a layer, and its activations. `flops.py` counts its products."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.model.config import ModelConfig
from bert_jax.model.layers import Dense, last_deviation

# Φ(x) - 1/2 = x · P(x²) for the normal distribution function Φ, where |x| <= FARTHEST, P's coefficients from x⁰ on,
# fitted so that the largest error of the GELU is least, 7e-5.
FARTHEST = 4.25
COEFFICIENTS = (
    *(0.3991141, -0.066672511, 0.0099959848, -0.0011574279, 0.00010087276),
    *(-6.2965942e-06, 2.6079729e-07, -6.3316565e-09, 6.7600675e-11),
)

OTHERS: dict[str, Callable[[jax.Array], jax.Array]] = {"relu": jax.nn.relu, "silu": jax.nn.silu}


def activation(config: ModelConfig, x: jax.Array) -> jax.Array:
    """Computes the activation: float32 to the config's dtype.

    The GELU (Hendrycks & Gimpel 2016) is exact to the precision of the dtype, or the paper's tanh approximation. SiLU
    is x · sigmoid(x) (Ramachandran et al. 2017).
    """
    if config.activation in OTHERS:
        return OTHERS[config.activation](x).astype(config.dtype)
    if config.dtype == "bfloat16":
        return _bfloat16_gelu(x, config.activation == "gelu_tanh")
    return jax.nn.gelu(x, approximate=config.activation == "gelu_tanh")


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _bfloat16_gelu(x: jax.Array, approximate: bool) -> jax.Array:
    if approximate:
        return jax.nn.gelu(x, approximate=True).astype(jnp.bfloat16)
    # XLA's error function costs twice as much as all of this, for digits that are rounded away.
    x = jnp.maximum(x, -FARTHEST)
    near = jnp.minimum(x, FARTHEST)
    return (x * (0.5 + near * jnp.polyval(jnp.array(COEFFICIENTS[::-1]), near * near))).astype(jnp.bfloat16)


def _forward(x: jax.Array, approximate: bool) -> tuple[jax.Array, jax.Array]:
    # The backward pass keeps the rounded input: half the memory.
    return _bfloat16_gelu(x, approximate), x.astype(jnp.bfloat16)


def _backward(approximate: bool, x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    _, pull = jax.vjp(functools.partial(jax.nn.gelu, approximate=approximate), x.astype(jnp.float32))
    return pull(gradient.astype(jnp.float32))


_bfloat16_gelu.defvjp(_forward, _backward)


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, which may be gated: [B, S, H] to [B, S, H]."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        config, bias = self.config, self.config.feed_forward_bias

        def dense(name: str) -> Dense:
            return Dense(config, (config.feed_forward_size,), ("embed",), ("mlp",), "float32", bias, name=name)

        if config.feed_forward == "gated":
            x = activation(config, dense("gate")(x)) * dense("intermediate")(x).astype(config.dtype)
        else:
            x = activation(config, dense("intermediate")(x))
        x = nn.with_logical_constraint(x, ("batch", "sequence", "activation_mlp"))
        deviation = last_deviation(config)
        size = (config.hidden_size,)
        return Dense(config, size, ("mlp",), ("embed",), bias=bias, deviation=deviation, name="output")(x)
