"""Properties of the whole model, with dropout on where nothing else is said."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.bert import Bert
from bert_jax.model.config import ModelConfig
from bert_jax.model.intermediates import with_intermediates
from bert_jax.model.norms import make_norm
from bert_jax.training.step import Randomness
from tests.model.composites import pretraining, pretraining_learner
from tests.model.unpacking import unpack

SMALL = ModelConfig(vocab_size=300, num_layers=2, hidden_size=32, num_heads=4, max_positions=128)
PRE = dataclasses.replace(SMALL, norm_position="pre")
DROPPING, WHOLE = (Randomness(jnp.uint32(3), jnp.int32(5), dropout) for dropout in (True, False))


def loss_and_gradient(config, params, batch):
    learner = pretraining_learner(config)

    def total(params):
        outcome = learner.loss_fn(params, None, batch, DROPPING)
        return sum(loss.sum.mean for loss in outcome.losses.values()), outcome

    (_, outcome), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    return outcome, gradient


def init(config, batch):
    # Larger weights than at the start of training, so that a wrong mask shows.
    params = nn.meta.unbox(pretraining(config).init(jax.random.key(0), batch)["params"])
    return jax.tree.map(lambda x: x * 5 if x.ndim > 1 else x, params)


def assert_close(left, right, tolerance=2e-5):
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(left), jax.tree.leaves(right), strict=True):
        scale = max(float(jnp.abs(y).max()), 1e-3)
        assert float(jnp.abs(x - y).max()) <= tolerance * scale, jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    ("layers", "size", "heads", "count"), [(12, 768, 12, 110_106_428), (24, 1024, 16, 336_226_108)]
)
def test_released_sizes_have_their_parameter_count(packed, layers, size, heads, count):
    config = ModelConfig(vocab_size=30_522, num_layers=layers, hidden_size=size, num_heads=heads)
    shapes = jax.eval_shape(lambda: pretraining(config).init(jax.random.key(0), packed))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"pooling": "max", "positions": "sinusoidal"},
        {"pooling": "mean", "positions": "none"},
        {"norm_position": "pre"},
        {"norm_position": "pre", "pooling": "max"},
        {"remat": True},
        {"remat": True, "norm_position": "pre", "pooling": "mean", "activation": "gelu_tanh"},
    ],
    ids=str,
)
def test_packed_equals_unpacked(packed, choices):
    """Losses, accuracies and gradients; dropout included, because its masks belong to the example."""
    config = dataclasses.replace(SMALL, **choices)
    params = init(config, packed)
    alone = unpack(packed, 128)
    assert len(alone["token_ids"]) >= 12
    left, left_gradient = loss_and_gradient(config, params, packed)
    right, right_gradient = loss_and_gradient(config, params, alone)
    assert_close(left, right)
    assert_close(left_gradient, right_gradient)


def test_a_shorter_row_changes_nothing(packed):
    params = init(SMALL, packed)
    longest = int(packed["position_ids"].max()) + 1
    left = loss_and_gradient(SMALL, params, unpack(packed, 128))
    right = loss_and_gradient(SMALL, params, unpack(packed, longest))
    assert_close(left, right)


@pytest.mark.parametrize("pooling", ["cls", "max", "mean"])
def test_neighbours_and_padding_change_nothing(packed, pooling):
    config = dataclasses.replace(SMALL, pooling=pooling)
    model, params = pretraining(config), init(config, packed)
    other = {name: value.copy() for name, value in packed.items()}
    strangers = packed["example_ids"] != 2
    other["token_ids"][strangers] = (other["token_ids"][strangers] * 7 + 11) % 300
    other["token_type_ids"][strangers] = 1 - other["token_type_ids"][strangers]
    left, right = (model.apply({"params": params}, batch) for batch in (packed, other))
    np.testing.assert_array_equal(left["nsp"][:, 1], right["nsp"][:, 1])
    mine = np.take_along_axis(packed["example_ids"], packed["masked_positions"], axis=1) == 2
    assert mine.any()
    np.testing.assert_array_equal(left["mlm"][mine], right["mlm"][mine])
    assert not np.array_equal(left["nsp"][:, 0], right["nsp"][:, 0])


@pytest.mark.parametrize("config", [SMALL, PRE], ids=["post", "pre"])
def test_remat_changes_nothing(packed, config):
    """Losses and gradients; dropout draws the same masks in the second computation."""
    params = init(config, packed)
    kept, kept_gradient = loss_and_gradient(config, params, packed)
    again, again_gradient = loss_and_gradient(dataclasses.replace(config, remat=True), params, packed)
    assert_close(again, kept, 1e-6)
    assert_close(again_gradient, kept_gradient, 1e-6)


def test_remat_keeps_less(packed):
    """Between the forward and the backward pass, only a layer's input: not its attention maps."""
    config = dataclasses.replace(SMALL, num_layers=4)
    params = init(config, packed)

    def kept(config):
        def total(params):
            outcome = pretraining_learner(config).loss_fn(params, None, packed, DROPPING)
            return outcome.losses["mlm_loss"].sum.mean

        _, backward = jax.vjp(total, params)
        return [leaf for leaf in jax.tree.leaves(backward) if leaf.ndim]

    maps = (4, SMALL.num_heads, 128, 128)
    all_kept, few_kept = kept(config), kept(dataclasses.replace(config, remat=True))
    assert sum(leaf.shape == maps for leaf in all_kept) >= 4
    assert not [leaf for leaf in few_kept if leaf.shape == maps]
    assert sum(leaf.size for leaf in few_kept) < 0.5 * sum(leaf.size for leaf in all_kept)


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("norm_position", ["post", "pre"])
def test_the_inside_can_be_looked_at(packed, norm_position, remat):
    config = dataclasses.replace(SMALL, norm_position=norm_position, remat=remat)
    model, params = pretraining(config), init(config, packed)
    output, inside = with_intermediates(model, params, packed)
    assert_close(output, model.apply({"params": params}, packed))
    assert [x.shape for x in inside.hidden_states] == [(4, 128, 32)] * 3
    last, (hidden, _) = inside.hidden_states[-1], Bert(config).apply({"params": params["bert"]}, packed)
    assert np.array_equal(last, hidden) == (norm_position == "post")
    if norm_position == "pre":
        norm = params["bert"]["encoder"]["final_norm"]
        assert_close(make_norm(config).apply({"params": norm}, last), hidden)
    ids = packed["example_ids"]
    strangers = ids[:, :, None] != ids[:, None, :]
    for attention_map in inside.attention_maps:
        assert attention_map.shape == (4, 4, 128, 128)
        np.testing.assert_allclose(attention_map.sum(-1), 1, rtol=1e-5)
        assert float(jnp.where(strangers[:, None], attention_map, 0).max()) == 0


@pytest.mark.parametrize("config", [SMALL, PRE], ids=["post", "pre"])
def test_gathered_head_equals_full_head(packed, config):
    model, params = pretraining(config), init(config, packed)
    everywhere = packed | {"masked_positions": np.tile(np.arange(128, dtype=np.int32), (4, 1))}
    full = model.apply({"params": params}, everywhere)["mlm"]
    gathered = model.apply({"params": params}, packed)["mlm"]
    np.testing.assert_allclose(
        gathered, np.take_along_axis(full, packed["masked_positions"][..., None], axis=1), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("config", [SMALL, PRE], ids=["post", "pre"])
def test_an_untrained_model_knows_nothing(packed, config):
    params = nn.meta.unbox(pretraining(config).init(jax.random.key(0), packed)["params"])
    means = pretraining_learner(config).loss_fn(params, None, packed, WHOLE).means
    assert abs(float(means["mlm_loss"]) - np.log(300)) < 0.1
    assert abs(float(means["nsp_loss"]) - np.log(2)) < 0.1


@pytest.mark.parametrize("config", [SMALL, PRE], ids=["post", "pre"])
def test_bfloat16_is_near_float32(packed, config):
    """Losses to 1 %; all gradients together point the same way (cosine above 0.99); parameters stay float32."""
    params = init(config, packed)
    rough_config = dataclasses.replace(config, dtype="bfloat16")
    exact, exact_gradient = loss_and_gradient(config, params, packed)
    rough, gradient = loss_and_gradient(rough_config, params, packed)
    for name in ("mlm_loss", "nsp_loss"):
        assert abs(float(rough.means[name]) / float(exact.means[name]) - 1) < 0.01
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))
    left, right = (jnp.concatenate([x.ravel() for x in jax.tree.leaves(g)]) for g in (gradient, exact_gradient))
    assert float(left @ right / jnp.linalg.norm(left) / jnp.linalg.norm(right)) > 0.99
    output, inside = with_intermediates(pretraining(rough_config), params, packed)
    assert all(x.dtype == jnp.bfloat16 for x in Bert(rough_config).apply({"params": params["bert"]}, packed))
    assert output["mlm"].dtype == output["nsp"].dtype == inside.attention_maps[0].dtype == jnp.float32


def test_every_weight_gets_a_gradient(packed):
    _, gradient = loss_and_gradient(SMALL, init(SMALL, packed), packed)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert float(jnp.abs(leaf).max()) > 0, jax.tree_util.keystr(path)


def test_numpy_forward_agrees(packed):
    """The definition of BERT, written once more with plain loops and float64."""
    config = dataclasses.replace(SMALL, num_layers=1)
    params = init(config, packed)
    output = pretraining(config).apply({"params": params}, packed)
    hidden, _ = Bert(config).apply({"params": params["bert"]}, packed)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

    def norm(x, q):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * q["scale"] + q["bias"]

    def gelu(x):
        return x * 0.5 * (1 + np.vectorize(__import__("math").erf)(x / np.sqrt(2)))

    layer = p["bert"]["encoder"]["layer_0"]
    for row in range(2):
        for slot in range(int(packed["example_ids"][row].max())):
            inside = np.flatnonzero(packed["example_ids"][row] == slot + 1)
            e = p["bert"]["embeddings"]
            x = e["word"][packed["token_ids"][row, inside]] + e["token_type"][packed["token_type_ids"][row, inside]]
            x = norm(x + e["position"][: len(inside)], e["layer_norm"])
            qkv = layer["attention"]["query_key_value"]
            heads = []
            for head in range(4):
                q, k, v = (x @ qkv["kernel"][:, head, i] + qkv["bias"][head, i] for i in range(3))
                scores = np.exp(q @ k.T / np.sqrt(8))
                heads.append(scores / scores.sum(-1, keepdims=True) @ v)
            out = layer["attention"]["output"]
            y = np.einsum("hsd,hdo->so", np.stack(heads), out["kernel"]) + out["bias"]
            x = norm(x + y, layer["attention_norm"])
            ff = layer["feed_forward"]
            y = gelu(x @ ff["intermediate"]["kernel"] + ff["intermediate"]["bias"])
            x = norm(x + y @ ff["output"]["kernel"] + ff["output"]["bias"], layer["feed_forward_norm"])
            np.testing.assert_allclose(hidden[row, inside], x, rtol=1e-4, atol=1e-4)
            pooled = np.tanh(x[0] @ p["bert"]["pooler"]["dense"]["kernel"] + p["bert"]["pooler"]["dense"]["bias"])
            nsp = pooled @ p["nsp"]["dense"]["kernel"] + p["nsp"]["dense"]["bias"]
            np.testing.assert_allclose(output["nsp"][row, slot], nsp, rtol=1e-4, atol=1e-4)
            for i in np.flatnonzero(packed["masked_weights"][row]):
                if packed["masked_positions"][row, i] in inside:
                    h = x[packed["masked_positions"][row, i] - inside[0]]
                    h = norm(
                        gelu(h @ p["mlm"]["transform"]["kernel"] + p["mlm"]["transform"]["bias"]), p["mlm"]["norm"]
                    )
                    logits = h @ e["word"].T + p["mlm"]["bias"]
                    np.testing.assert_allclose(output["mlm"][row, i], logits, rtol=1e-4, atol=2e-4)
