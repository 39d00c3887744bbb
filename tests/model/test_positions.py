import numpy as np

from bert_jax.model.positions import sinusoids


def test_sinusoids_follow_the_paper():
    found = np.asarray(sinusoids(np.arange(50), 8))
    for position in range(50):
        for i in range(4):
            angle = position / 10_000 ** (2 * i / 8)
            np.testing.assert_allclose(found[position, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-5)
