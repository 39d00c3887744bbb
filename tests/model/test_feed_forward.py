import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.config import ModelConfig
from bert_jax.model.feed_forward import activation
from bert_jax.model.layers import Dense

CONFIG = ModelConfig(vocab_size=16, hidden_size=12, num_heads=3, dtype="bfloat16")
EVERY = jax.lax.bitcast_convert_type(jnp.arange(65536, dtype=jnp.uint16), jnp.bfloat16).astype(jnp.float32)
NUMBERS = EVERY[jnp.abs(EVERY) < 1e4]


def test_the_short_gelu_is_the_gelu_to_bfloat16s_precision():
    """All numbers of bfloat16. Its steps next to 1 are 0.0078."""
    ours, exact = activation(CONFIG, NUMBERS), jax.nn.gelu(NUMBERS, approximate=False)
    assert ours.dtype == jnp.bfloat16
    assert np.isfinite(ours.astype(jnp.float32)).all()
    np.testing.assert_allclose(ours.astype(jnp.float32), exact, rtol=2**-8, atol=8e-5)
    near = jnp.abs(exact) > 0.02
    assert (ours == exact.astype(jnp.bfloat16))[near].mean() > 0.98


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
def test_its_gradient_is_the_gelus(name):
    config = ModelConfig(vocab_size=16, dtype="bfloat16", activation=name)
    ours = jax.grad(lambda x: activation(config, x).astype(jnp.float32).sum())(NUMBERS)
    theirs = jax.grad(lambda x: jax.nn.gelu(x, approximate=name == "gelu_tanh").sum())(NUMBERS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_a_bfloat16_layer_is_rounded_once():
    """The bias is too small to be seen next to the rounded product, but not next to the exact one."""
    dense = Dense(CONFIG, (1,), ("embed",), ("mlp",))
    kernel, bias = jnp.ones((2, 1)), jnp.array([0.75])
    x = jnp.array([[256, 1]], jnp.bfloat16)  # bfloat16 has 256 and 258
    assert dense.apply({"params": {"kernel": kernel, "bias": bias}}, x) == 258
