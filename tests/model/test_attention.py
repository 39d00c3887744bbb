"""The seam behind which kernels go: what `attend` promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.attention import SelfAttention, attend
from bert_jax.model.config import ModelConfig
from bert_jax.model.layout import Layout

B, HEADS, S, SIZE = 2, 3, 12, 4
EXAMPLES = jnp.array([[1] * 5 + [2] * 4 + [0] * 3, [1] * 2 + [2] * 3 + [3] * 7], jnp.int32)
POSITIONS = jnp.array([[*range(5), *range(4), 0, 0, 0], [*range(2), *range(3), *range(7)]], jnp.int32)
LAYOUT = Layout(EXAMPLES, POSITIONS)


def inputs(dtype=jnp.float32):
    return (2 * jax.random.normal(jax.random.key(0), (3, B, HEADS, S, SIZE))).astype(dtype)


def by_hand(query, key, value, change=lambda probabilities: probabilities):
    """(output, probabilities): a softmax over each example, in float64 and plain loops."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    output, maps = np.zeros(value.shape), np.zeros((B, HEADS, S, S))
    for row in range(B):
        for head in range(HEADS):
            for i in range(S):
                others = [j for j in range(S) if EXAMPLES[row, j] == EXAMPLES[row, i]]
                scores = np.exp([query[row, head, i] @ key[row, head, j] for j in others])
                maps[row, head, i, others] = scores / scores.sum()
    for row, head, i, j in np.ndindex(maps.shape):
        output[row, head, i] += change(maps)[row, head, i, j] * value[row, head, j]
    return output, maps


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.03)])
def test_it_is_a_softmax_over_each_example(dtype, tolerance):
    query, key, value = inputs(dtype)
    found = attend(query, key, value, LAYOUT)
    assert (found.dtype, found.shape) == (jnp.dtype(dtype), (B, HEADS, S, SIZE))
    np.testing.assert_allclose(found.astype(jnp.float32), by_hand(query, key, value)[0], rtol=0, atol=tolerance * 4)


def test_neighbours_and_padding_are_not_seen():
    """Outputs and gradients of the second examples, whatever stands beside them."""
    mine = np.asarray(EXAMPLES == 2)
    other = jnp.where(mine[:, None, :, None], inputs(), 50 + 7 * inputs()[:, ::-1])

    def outputs(three):
        found = attend(*three, LAYOUT).swapaxes(1, 2)
        return jnp.where(mine[..., None, None], found, 0).sum(), found

    gradient = jax.grad(outputs, has_aux=True)
    (left, found), (right, changed) = gradient(inputs()), gradient(other)
    np.testing.assert_array_equal(found[mine], changed[mine])
    assert (np.asarray(found)[~mine] != np.asarray(changed)[~mine]).any()
    for x in (left, right):
        assert np.abs(x.swapaxes(2, 3)[:, mine]).max() > 0
        assert np.abs(x.swapaxes(2, 3)[:, ~mine]).max() == 0
    np.testing.assert_array_equal(left.swapaxes(2, 3)[:, mine], right.swapaxes(2, 3)[:, mine])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_observers_see_the_probabilities_before_dropout(dtype):
    query, key, value = inputs(dtype)
    seen = []
    attend(query, key, value, LAYOUT, dropout=lambda p, *_: p * 0, observe=seen.append)
    (maps,) = seen
    assert maps.dtype == jnp.float32
    np.testing.assert_allclose(maps, by_hand(query, key, value)[1], rtol=0, atol=1e-5 if dtype == "float32" else 0.02)
    np.testing.assert_allclose(maps.sum(-1), 1, rtol=1e-5)
    assert (np.asarray(maps)[~np.broadcast_to(LAYOUT.mask(LAYOUT, None), maps.shape)] == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dropout_is_applied_to_the_probabilities(dtype):
    """Not to the scores, nor to the output: each query loses some keys, and nothing is divided again."""
    query, key, value = inputs(dtype)
    kept = np.random.default_rng(0).random((B, HEADS, S, S)) < 0.5
    given = []

    def dropout(probabilities, *_):
        given.append(probabilities)
        return jnp.where(kept, 2 * probabilities, 0)

    found = attend(query, key, value, LAYOUT, dropout=dropout)
    expected, maps = by_hand(query, key, value, lambda p: np.where(kept, 2 * p, 0))
    tolerance = 1e-5 if dtype == "float32" else 0.03
    assert given[0].dtype == jnp.dtype(dtype)
    np.testing.assert_allclose(given[0].astype(jnp.float32), maps, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.astype(jnp.float32), expected, rtol=0, atol=tolerance * 8)


def test_a_layer_scales_its_scores_drops_by_its_keys_and_shows_its_map():
    """The module around the seam: scores are divided by √(head size), dropout draws by the tokens' keys."""
    config = ModelConfig(vocab_size=9, hidden_size=HEADS * SIZE, num_heads=HEADS, attention_dropout=0.5)
    layer, x = SelfAttention(config, 0), jax.random.normal(jax.random.key(1), (B, S, HEADS * SIZE))
    params = layer.init(jax.random.key(0), x, LAYOUT)["params"]
    params = jax.tree.map(lambda leaf: 20 * leaf.value, params, is_leaf=lambda leaf: hasattr(leaf, "value"))
    whole, state = layer.apply({"params": params}, x, LAYOUT, mutable="intermediates")
    (seen,) = state["intermediates"]["attention_map"]
    fused = np.einsum("bsw,whpd->pbhsd", x, params["query_key_value"]["kernel"]) + np.moveaxis(
        np.asarray(params["query_key_value"]["bias"]), 1, 0
    ).reshape(3, 1, HEADS, 1, SIZE)
    context, maps = by_hand(fused[0] / np.sqrt(SIZE), fused[1], fused[2])
    np.testing.assert_allclose(seen, maps, rtol=0, atol=1e-5)
    expected = np.einsum("bhsd,hdw->bsw", context, params["output"]["kernel"]) + params["output"]["bias"]
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-4)
    keys = jax.random.bits(jax.random.key(2), (B, S))
    dropped, state = layer.apply({"params": params}, x, LAYOUT.replace(dropout_keys=keys), mutable="intermediates")
    np.testing.assert_array_equal(state["intermediates"]["attention_map"][0], seen)
    assert float(jnp.abs(dropped - whole).mean()) > 0.1 * float(jnp.abs(whole).mean())
