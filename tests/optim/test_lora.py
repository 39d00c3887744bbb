"""Adapters of low rank, as arrays."""

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.errors import ConfigError
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.learner import Learner
from bert_jax.optim.lora import check_start, merged, updated, with_adapters
from bert_jax.optim.optimizer import OptimizerConfig, frozen_names, trained

MODEL = ModelConfig(vocab_size=50, num_layers=1, hidden_size=8, num_heads=2, max_positions=16, initializer_range=1.0)
LAYER = "bert/encoder/layer_0/"
SHAPES = {
    "attention/query_key_value": ((8, 3), (3, 2, 3, 4), ("embed", "rank"), ("rank", "heads", "qkv", "head")),
    "attention/output": ((2, 4, 3), (3, 8), ("heads", "head", "rank"), ("rank", "embed")),
    "feed_forward/intermediate": ((8, 3), (3, 32), ("embed", "rank"), ("rank", "mlp")),
    "feed_forward/output": ((32, 3), (3, 8), ("mlp", "rank"), ("rank", "embed")),
}


def by_name(tree):
    return flax.traverse_util.flatten_dict(tree, sep="/")


@pytest.fixture(scope="module")
def base():
    """The boxed parameters of a classifier."""
    return Learner(MODEL, (Labels(names=("no", "yes")),)).init(jax.random.key(0))


def adapted(base, rank=3, alpha=6.0):
    return with_adapters(base, rank, alpha, jax.random.key(1))


def test_attention_and_feed_forward_have_an_adapter_each(base):
    boxes = by_name(adapted(base)["lora"])
    assert set(boxes) == {f"{LAYER}{name}/kernel/{part}" for name in SHAPES for part in ("a", "b", "scale")}
    for name, (a, b, a_axes, b_axes) in SHAPES.items():
        of_a, of_b, scale = (boxes[f"{LAYER}{name}/kernel/{part}"] for part in ("a", "b", "scale"))
        assert (of_a.value.shape, of_a.names, of_b.value.shape, of_b.names) == (a, a_axes, b, b_axes)
        bound = np.prod(a[:-1]) ** -0.5
        assert 0.7 * bound < np.abs(of_a.value).max() <= bound
        assert not of_b.value.any()
        assert scale.value == 2  # alpha / rank


def test_the_model_starts_as_it_was_to_the_bit(base):
    found, expected = by_name(merged(nn.meta.unbox(adapted(base)))), by_name(nn.meta.unbox(base))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("name", SHAPES)
def test_a_full_rank_holds_any_update_and_others_the_nearest(base, name):
    """By the singular values, largest first (Eckart & Young 1936)."""
    name = f"{LAYER}{name}/kernel"
    rng = np.random.default_rng(0)
    for rank in (8, 3):
        params = by_name(nn.meta.unbox(adapted(base, rank)))
        kernel, a, b = (params[n] for n in (name, f"lora/{name}/a", f"lora/{name}/b"))
        change = rng.normal(size=(a.size // rank, b.size // rank))
        left, values, right = np.linalg.svd(change, full_matrices=False)
        params[f"lora/{name}/a"] = jnp.asarray((left * values)[:, :rank].reshape(a.shape), jnp.float32)
        params[f"lora/{name}/b"] = jnp.asarray(right[:rank].reshape(b.shape) * rank / 6.0, jnp.float32)
        after = merged(flax.traverse_util.unflatten_dict(params, sep="/"))
        found = np.asarray(by_name(after)[name] - kernel).reshape(change.shape)
        error = np.linalg.norm(found - change)
        assert error == pytest.approx(np.linalg.norm(values[rank:]), rel=1e-5, abs=1e-5)


def test_the_merged_product_is_that_of_both_paths():
    rng = np.random.default_rng(0)
    x, kernel, a, b = (rng.normal(size=s).astype(np.float32) for s in ((5, 8), (8, 2, 3, 4), (8, 3), (3, 2, 3, 4)))
    both = np.tensordot(x, kernel, 1) + 0.7 * np.tensordot(x @ a, b, 1)
    for of in (np.asarray, jnp.asarray):  # on the host and on a device
        whole = updated(of(kernel), of(a), of(b), np.float32(0.7))
        assert type(whole) is type(of(kernel))
        np.testing.assert_allclose(np.tensordot(x, whole, 1), both, rtol=1e-4, atol=1e-5)


def test_adapters_pooler_and_heads_are_trained(base):
    freeze = frozen_names(OptimizerConfig(lora_rank=3), "")
    params = nn.meta.unbox(adapted(base))
    found = {name for name, change in by_name(trained(params, freeze)).items() if change}
    new = {f"{name}/dense/{part}" for name in ("bert/pooler", "label") for part in ("kernel", "bias")}
    assert found == new | {f"lora/{LAYER}{name}/kernel/{part}" for name in SHAPES for part in ("a", "b")}
    # With what the user freezes.
    also = trained(params, frozen_names(OptimizerConfig(lora_rank=3), "(?i)^LABEL|pooler"))
    assert {n for n, change in by_name(also).items() if change} == found - new


def test_a_rank_that_no_matrix_can_have_is_refused(base):
    with pytest.raises(ConfigError, match=r"optimizer\.lora_rank=9 is more than 8, .*: lower it\."):
        adapted(base, rank=9)
    (problem,) = OptimizerConfig(name="lamb", lora_rank=3).problems()
    assert problem.startswith("optimizer.lora_rank does not learn with optimizer.name=lamb")


def test_a_body_that_would_stay_at_random_is_refused():
    check_start(["bert/pooler/dense/kernel", "label/dense/bias", f"lora/{LAYER}attention/output/kernel/scale"])
    with pytest.raises(ConfigError, match=r"^bert/embeddings/word would start at random"):
        check_start(["label/dense/bias", "bert/embeddings/word"])
