import jax.numpy as jnp
import numpy as np

from bert_jax.model.pooling import max_pool, mean_pool

BATCH = {
    "sequence_ids": jnp.array([[1, 1, 2, 2, 2, 0]]),
    "summary_positions": jnp.array([[0, 2, 0]]),
}
HIDDEN = -jnp.arange(1.0, 7.0).reshape(1, 6, 1)  # all negative: a padded zero would win a maximum


def test_max_and_mean_see_an_examples_own_tokens():
    np.testing.assert_allclose(max_pool(HIDDEN, BATCH)[0, :, 0], [-1, -3, 0])
    np.testing.assert_allclose(mean_pool(HIDDEN, BATCH)[0, :, 0], [-1.5, -4, 0])


def test_the_mean_of_many_tokens_is_exact_in_bfloat16():
    """Sums and counts run in float32: bfloat16 cannot tell 256 from 257."""
    batch = {"sequence_ids": jnp.ones((1, 511), jnp.int32), "summary_positions": jnp.zeros((1, 1), jnp.int32)}
    pooled = mean_pool(jnp.ones((1, 511, 2), jnp.bfloat16), batch)
    assert pooled.dtype == jnp.bfloat16
    np.testing.assert_array_equal(pooled, 1)
