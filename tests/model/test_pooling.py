import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.model.pooling import max_pool, mean_pool

BATCH = {
    "example_ids": jnp.array([[1, 1, 2, 2, 2, 0]]),
    "cls_positions": jnp.array([[0, 2, 0]]),
}
HIDDEN = -jnp.arange(1.0, 7.0).reshape(1, 6, 1)  # all negative: a padded zero would win a maximum


def test_max_and_mean_see_an_examples_own_tokens():
    np.testing.assert_allclose(max_pool(HIDDEN, BATCH)[0, :, 0], [-1, -3, 0])
    np.testing.assert_allclose(mean_pool(HIDDEN, BATCH)[0, :, 0], [-1.5, -4, 0])


def test_the_mean_of_many_tokens_is_rounded_once_in_bfloat16():
    """Sums and counts run in float32: bfloat16 cannot tell 259 from 260."""
    batch = {"example_ids": jnp.ones((1, 259), jnp.int32), "cls_positions": jnp.zeros((1, 1), jnp.int32)}
    hidden = jax.random.uniform(jax.random.key(0), (1, 259, 64), minval=0.5, maxval=2).astype(jnp.bfloat16)
    pooled = mean_pool(hidden, batch)
    assert pooled.dtype == jnp.bfloat16
    exact = np.asarray(hidden, np.float64).mean(1)
    assert exact.min() > 1  # where bfloat16 numbers are 2 / 256 apart
    np.testing.assert_allclose(np.asarray(pooled[0], np.float64), exact, rtol=0, atol=1.01 / 256)
