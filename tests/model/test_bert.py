"""Properties of the whole model, with dropout on where nothing else is said."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax import sharding
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.model.bert import BertForPretraining
from bert_jax.model.config import ModelConfig
from bert_jax.tasks.pretraining import make_loss_fn

SMALL = ModelConfig(vocab_size=300, num_layers=2, hidden_size=32, num_heads=4, max_positions=128)
RNG = (jnp.uint32(3), jnp.int32(5))


@pytest.fixture(scope="module")
def packed(corpus):
    """Four rows of three or four examples each."""
    config = DataConfig(sequence_length=128, max_examples=4, short_probability=1.0)
    source = Batches(corpus.train, corpus.sources, corpus.tokenizer, config, 0, 64)
    batch = source.batch(0)
    full = np.flatnonzero(batch["sequence_ids"].max(1) >= 3)[:4]
    assert len(full) == 4
    return {name: value[full] for name, value in batch.items()}


def unpack(batch, sequence_length):
    """Each example in a row of its own, at the row's begin, with the number of slots kept."""
    rows = []
    for row in range(len(batch["token_ids"])):
        for slot in range(batch["sequence_ids"][row].max()):
            inside = np.flatnonzero(batch["sequence_ids"][row] == slot + 1)
            used = (batch["masked_weights"][row] > 0) & np.isin(batch["masked_positions"][row], inside)
            one = {name: np.zeros_like(batch[name][:1]) for name in batch}
            for name in ("token_ids", "segment_ids", "position_ids", "sequence_ids"):
                one[name] = np.zeros((1, sequence_length), batch[name].dtype)
                one[name][0, : len(inside)] = batch[name][row, inside]
            one["sequence_ids"] = np.minimum(one["sequence_ids"], 1)
            for name in ("masked_positions", "masked_targets", "masked_weights"):
                one[name][0, : used.sum()] = batch[name][row, used]
            one["masked_positions"][0, : used.sum()] -= inside[0]
            for name in ("nsp_labels", "nsp_weights", "source_ids", "example_keys"):
                one[name][0, 0] = batch[name][row, slot]
            rows.append(one)
    return {name: np.concatenate([row[name] for row in rows]) for name in batch}


def loss_and_gradient(config, params, batch, rng=RNG):
    loss_fn = make_loss_fn(BertForPretraining(config), True, ("here",))

    def total(params):
        losses, others = loss_fn(params, batch, rng)
        return sum(mean.value for mean in losses.values()), losses | others

    (_, means), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    return means, gradient


def init(config, batch):
    # Larger weights than at the start of training, so that a wrong mask shows.
    params = nn.meta.unbox(BertForPretraining(config).init(jax.random.key(0), batch)["params"])
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
    shapes = jax.eval_shape(lambda: BertForPretraining(config).init(jax.random.key(0), packed))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize("pooling", ["cls", "max", "mean"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
def test_packed_equals_unpacked(packed, pooling, positions):
    """Losses, accuracies and gradients; dropout included, because its masks belong to the example."""
    config = dataclasses.replace(SMALL, pooling=pooling, positions=positions)
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
    model, params = BertForPretraining(config), init(config, packed)
    other = {name: value.copy() for name, value in packed.items()}
    strangers = packed["sequence_ids"] != 2
    other["token_ids"][strangers] = (other["token_ids"][strangers] * 7 + 11) % 300
    other["segment_ids"][strangers] = 1 - other["segment_ids"][strangers]
    left, right = (model.apply({"params": params}, batch) for batch in (packed, other))
    np.testing.assert_array_equal(left.nsp_logits[:, 1], right.nsp_logits[:, 1])
    mine = np.take_along_axis(packed["sequence_ids"], packed["masked_positions"], axis=1) == 2
    assert mine.any()
    np.testing.assert_array_equal(left.mlm_logits[mine], right.mlm_logits[mine])
    assert not np.array_equal(left.nsp_logits[:, 0], right.nsp_logits[:, 0])


def test_gathered_head_equals_full_head(packed):
    model, params = BertForPretraining(SMALL), init(SMALL, packed)
    everywhere = packed | {"masked_positions": np.tile(np.arange(128, dtype=np.int32), (4, 1))}
    full = model.apply({"params": params}, everywhere).mlm_logits
    gathered = model.apply({"params": params}, packed).mlm_logits
    np.testing.assert_allclose(
        gathered, np.take_along_axis(full, packed["masked_positions"][..., None], axis=1), rtol=1e-5, atol=1e-5
    )


def test_an_untrained_model_knows_nothing(packed):
    model = BertForPretraining(SMALL)
    params = nn.meta.unbox(model.init(jax.random.key(0), packed)["params"])
    losses, _ = make_loss_fn(model, True, ("here",))(params, packed, None)
    assert abs(float(losses["mlm_loss"].value) - np.log(300)) < 0.1
    assert abs(float(losses["nsp_loss"].value) - np.log(2)) < 0.1


def test_bfloat16_is_near_float32(packed):
    params = init(SMALL, packed)
    exact, _ = loss_and_gradient(SMALL, params, packed)
    rough, gradient = loss_and_gradient(dataclasses.replace(SMALL, dtype="bfloat16"), params, packed)
    assert abs(float(rough["mlm_loss"].value) / float(exact["mlm_loss"].value) - 1) < 0.02
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))


def test_every_weight_gets_a_gradient(packed):
    _, gradient = loss_and_gradient(SMALL, init(SMALL, packed), packed)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert float(jnp.abs(leaf).max()) > 0, jax.tree_util.keystr(path)


def test_every_axis_has_a_name_in_the_table(packed):
    boxed = jax.eval_shape(lambda: BertForPretraining(SMALL).init(jax.random.key(0), packed)["params"])
    known = {name for name, _ in sharding.LOGICAL_AXIS_RULES}
    for leaf in jax.tree.leaves(boxed, is_leaf=lambda x: isinstance(x, nn.LogicallyPartitioned)):
        assert len(leaf.names) == leaf.value.ndim
        assert set(leaf.names) <= known
        assert len(set(leaf.names)) == len(leaf.names)


def test_numpy_forward_agrees(packed):
    """The definition of BERT, written once more with plain loops and float64."""
    config = dataclasses.replace(SMALL, num_layers=1)
    params = init(config, packed)
    output = BertForPretraining(config).apply({"params": params}, packed)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

    def norm(x, q):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * q["scale"] + q["bias"]

    def gelu(x):
        return x * 0.5 * (1 + np.vectorize(__import__("math").erf)(x / np.sqrt(2)))

    layer = p["encoder"]["layer_0"]
    for row in range(2):
        for slot in range(int(packed["sequence_ids"][row].max())):
            inside = np.flatnonzero(packed["sequence_ids"][row] == slot + 1)
            e = p["embeddings"]
            x = e["word"][packed["token_ids"][row, inside]] + e["segment"][packed["segment_ids"][row, inside]]
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
            np.testing.assert_allclose(output.hidden[row, inside], x, rtol=1e-4, atol=1e-4)
            pooled = np.tanh(x[0] @ p["pooler"]["dense"]["kernel"] + p["pooler"]["dense"]["bias"])
            nsp = pooled @ p["nsp"]["dense"]["kernel"] + p["nsp"]["dense"]["bias"]
            np.testing.assert_allclose(output.nsp_logits[row, slot], nsp, rtol=1e-4, atol=1e-4)
            for i in np.flatnonzero(packed["masked_weights"][row]):
                if packed["masked_positions"][row, i] in inside:
                    h = x[packed["masked_positions"][row, i] - inside[0]]
                    h = norm(
                        gelu(h @ p["mlm"]["transform"]["kernel"] + p["mlm"]["transform"]["bias"]), p["mlm"]["norm"]
                    )
                    logits = h @ e["word"].T + p["mlm"]["bias"]
                    np.testing.assert_allclose(output.mlm_logits[row, i], logits, rtol=1e-4, atol=2e-4)
