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
