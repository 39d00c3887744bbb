"""Reading and writing state dicts; what the numbers mean is held by `test_golden` and `test_parity`."""

import dataclasses
import json
import re

import jax
import ml_dtypes
import numpy as np
import pytest

from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop.hugging_face_config import read_config, write_config
from bert_jax.model.config import ModelConfig
from tests.interop.rows import padded_batch, random_params
from tests.interop.state_dicts import TWINS, from_state_dict, to_state_dict
from tests.model import composites

CONFIG = ModelConfig(
    vocab_size=40, num_layers=2, hidden_size=12, num_heads=3, intermediate_size=20, max_positions=16, num_token_types=3
)
BATCH = padded_batch(CONFIG, [12, 7], 12, 3)


@pytest.fixture(scope="module")
def params():
    return random_params(composites.pretraining(CONFIG), BATCH)


@pytest.fixture
def tensors(params):
    return to_state_dict(params, CONFIG)


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.mark.parametrize(
    ("kind", "settings", "parts"),
    [
        (composites.pretraining, (), ("pooler", "mlm", "nsp")),
        (composites.sequence, (5,), ("pooler", "label")),
        (composites.tokens, (7,), ("label",)),
        (composites.choices, (), ("pooler", "choice")),
        (composites.spans, (), ("span",)),
    ],
)
def test_all_composites_survive_both_ways(kind, settings, parts):
    params = random_params(kind(CONFIG, *settings), BATCH)
    tensors = to_state_dict(params, CONFIG)
    assert_equal(from_state_dict(tensors, CONFIG, parts, "choice" if "choice" in parts else "label"), params)
    assert all(value.flags.c_contiguous and value.dtype == np.float32 for value in tensors.values())


def test_each_number_goes_where_it_belongs(params, tensors):
    """A few entries by hand: which index is the head, which the query, which the output."""
    ours = params["bert"]["encoder"]["layer_1"]["attention"]
    kernel, layer = ours["query_key_value"]["kernel"], "bert.encoder.layer.1.attention."
    for i, name in enumerate(("query", "key", "value")):
        weight, bias = tensors[f"{layer}self.{name}.weight"], tensors[f"{layer}self.{name}.bias"]
        assert weight[2 * 4 + 3, 5] == kernel[5, 2, i, 3]
        assert bias[2 * 4 + 3] == ours["query_key_value"]["bias"][2, i, 3]
    assert tensors[f"{layer}output.dense.weight"][5, 2 * 4 + 3] == ours["output"]["kernel"][2, 3, 5]
    assert tensors["cls.seq_relationship.weight"][1, 7] == params["nsp"]["dense"]["kernel"][7, 1]
    assert tensors["cls.predictions.decoder.weight"] is tensors["bert.embeddings.word_embeddings.weight"]


def test_the_body_alone_has_the_names_of_bert_model(params, tensors):
    bare = to_state_dict({"bert": params["bert"]}, CONFIG)
    assert bare.keys() == {name.removeprefix("bert.") for name in tensors if name.startswith("bert.")}
    assert_equal(from_state_dict(bare, CONFIG, ("pooler",)), {"bert": params["bert"]})


def legacy(tensors):
    renamed = {}
    for name, value in tensors.items():
        if "LayerNorm" in name:
            name = name.replace("weight", "gamma").replace("bias", "beta")
        renamed[name] = value
    return renamed


def test_other_spellings_of_the_same_checkpoint_are_understood(params, tensors):
    buffers = ("bert.embeddings.position_ids", "embeddings.position_ids", "bert.embeddings.token_type_ids")
    positions = {name: np.arange(16)[None] for name in buffers}
    untwinned = {name: value for name, value in tensors.items() if name not in TWINS}
    bare = {name.removeprefix("bert."): value for name, value in untwinned.items()}
    decoder_only = {name: value for name, value in tensors.items() if name != "cls.predictions.bias"}
    for other in (legacy(tensors), tensors | positions, untwinned, legacy(bare), decoder_only):
        assert_equal(from_state_dict(other, CONFIG), params)
    assert_equal(from_state_dict(tensors, CONFIG, ("pooler",)), {"bert": params["bert"]})


@pytest.mark.parametrize("prefix", ["module.", "model.", "0.auto_model.", "bert.", "encoder."])
def test_a_prefix_of_all_names_is_taken_off(params, tensors, prefix):
    """`bert.bert.` too; a model without heads is `encoder.embeddings.…`, say."""
    assert_equal(from_state_dict({prefix + name: value for name, value in tensors.items()}, CONFIG), params)
    body = {name.removeprefix("bert."): value for name, value in tensors.items() if name.startswith("bert.")}
    prefixed = {prefix + name: value for name, value in body.items()}
    assert_equal(from_state_dict(prefixed, CONFIG, ("pooler",)), {"bert": params["bert"]})
    prefixed[f"{prefix}pooler.dense.bias"] = np.ones(3)
    with pytest.raises(CheckpointError, match=f"'{re.escape(prefix)}pooler.dense.bias' has the shape"):
        from_state_dict(prefixed, CONFIG, ("pooler",))


@pytest.mark.parametrize("name", ["x" * 100_000, "a\x1b[2Jb\nc"])
def test_names_in_messages_are_short_and_printable(tensors, name):
    with pytest.raises(CheckpointError, match="does not have") as caught:
        from_state_dict(tensors | {name: np.ones(3)}, CONFIG)
    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_floating_types_become_float32(tensors, dtype):
    other = {name: value.astype(dtype) for name, value in tensors.items()}
    read = from_state_dict(other, CONFIG)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(read))
    np.testing.assert_array_equal(read["mlm"]["bias"], other["cls.predictions.bias"].astype(np.float32))


WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("bert.pooler.dense.bias"), r"lack 'bert\.pooler\.dense\.bias': check"),
        (lambda t: [t.pop(n) for n in list(t) if ".layer.1." in n],
         "have 1 layers, but the config has num_hidden_layers=2"),
        (lambda t: t.update({"bert.encoder.layer.2.output.dense.bias": np.zeros(12)}),
         "have 3 layers, but the config has num_hidden_layers=2"),
        (lambda t: t.update({"cls.predictions.bias": np.zeros(41), "cls.predictions.decoder.bias": np.zeros(41)}),
         r"shape \[41\] where the config asks for \[40\]"),
        (lambda t: t.update({"bert.pooler.dense.weight": np.zeros((12, 12), np.int8)}), "int8, not floating"),
        (lambda t: t.update({"bert.pooler.dense.weight": np.full((12, 12), np.nan)}), "not finite"),
        (lambda t: t.update({"cls.predictions.decoder.weight": t[WORDS] + 1}), "a separate output table"),
        (lambda t: t.update({"bert.embeddings.LayerNorm.gamma": np.ones(12)}), "mean the same"),
        (lambda t: t.update({"pooler.dense.bias": np.ones(12)}), "does not have"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_model_is_refused_in_a_sentence(tensors, change, message):
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        from_state_dict(tensors, CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["bert"].pop("pooler"), None),
        (lambda p: p["bert"]["embeddings"].pop("word"), "lack 'bert/embeddings/word'"),
        (lambda p: p["mlm"].pop("bias"), "lack 'mlm/bias'"),
        (lambda p: p.update(other={"bias": np.ones(3)}), "have 'other/bias'"),
        (lambda p: p["mlm"].update(bias=np.ones(3)), r"'mlm/bias' has the shape \[3\]"),
    ],
)
def test_parameters_of_another_model_are_refused_in_a_sentence(params, change, message):
    changed = jax.tree.map(lambda x: x, params)
    change(changed)
    if message is None:
        assert "bert.pooler.dense.weight" not in to_state_dict(changed, CONFIG)
        return
    with pytest.raises(CheckpointError, match=message):
        to_state_dict(changed, CONFIG)


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
def test_positions_that_are_not_learned_become_a_table(positions):
    config = dataclasses.replace(CONFIG, positions=positions, initializer_range=0.3)
    params = random_params(composites.pretraining(config), BATCH)
    read = from_state_dict(to_state_dict(params, config), CONFIG)
    left = composites.pretraining(config).apply({"params": params}, BATCH)
    right = composites.pretraining(CONFIG).apply({"params": read}, BATCH)
    np.testing.assert_allclose(left["mlm"], right["mlm"], rtol=1e-5, atol=1e-5)
    with pytest.raises(ConfigError, match="no position table to read into"):
        from_state_dict(to_state_dict(params, config), config)


def test_models_that_they_do_not_have_are_refused(params):
    with pytest.raises(
        ConfigError, match=r"BERT, which comes nearest, has no model\.norm_position=pre \(only post\): save_checkpoint"
    ):
        to_state_dict(params, dataclasses.replace(CONFIG, norm_position="pre"))
    with pytest.raises(ConfigError, match="vocab_size is empty"):
        write_config(dataclasses.replace(CONFIG, vocab_size=None))
    pooled = dataclasses.replace(CONFIG, pooling="mean")
    with pytest.raises(
        ConfigError,
        match=r"'nsp' of Hugging Face's BERT has no model\.pooling=mean: to export it, .*=cls, or .* heads=mlm",
    ):
        to_state_dict(params, pooled)
    assert "cls.predictions.bias" in to_state_dict({"bert": params["bert"], "mlm": params["mlm"]}, pooled)
    labels = {"bert": params["bert"], "label": {"dense": {"kernel": np.ones((12, 4)), "bias": np.ones(4)}}}
    with pytest.raises(
        ConfigError, match=r"'label' .* has no model\.pooling=mean: to export it, train with model\.pooling=cls\.$"
    ):
        to_state_dict(labels, pooled)
    assert to_state_dict(labels, CONFIG)["classifier.weight"].shape == (4, 12)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_configs_survive_both_ways(activation):
    config = dataclasses.replace(CONFIG, activation=activation, dropout=0.2, layer_norm_epsilon=1e-5)
    values = json.loads(json.dumps(write_config(config)))
    assert read_config(values).model == config
    assert write_config(read_config(values).model) == values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "electra"}, "model_type='electra' is not supported: only bert, roberta"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key' is not supported"),
        ({"is_decoder": True}, "is_decoder='True'"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings='False'"),
        ({"hidden_act": "tanh"}, "hidden_act='tanh' is not one of gelu, gelu_python, gelu_new"),
        ({"hidden_size": "768"}, "hidden_size='768', not a number"),
        ({"num_attention_heads": 5}, "does not divide"),
    ],
)
def test_other_models_configs_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        read_config(write_config(CONFIG) | change)


def test_a_config_without_a_shape_is_refused():
    values = write_config(CONFIG)
    del values["hidden_size"]
    with pytest.raises(ConfigError, match=r"lacks hidden_size: restore it\."):
        read_config(values)
