"""ModernBERT, NomicBERT and EuroBERT: configs and tensors both ways, without PyTorch."""

import dataclasses
import json

import flax.linen as nn
import jax
import numpy as np
import pytest
from etils import epath

import bert_jax
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop.families.registry import FAMILIES, WRITTEN, family_of
from bert_jax.interop.hugging_face import architecture, write_folder
from bert_jax.interop.hugging_face_config import read_config, write_config
from bert_jax.interop.safetensors import WEIGHTS, SafetensorsFile
from bert_jax.model.config import DEFAULTS, ModelConfig
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.learner import Learner
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.objectives.spans import Spans
from bert_jax.tasks.starting_point import open_start, read_starting_point
from bert_jax.training.config import TrainConfig
from bert_jax.training.workdir.warm_start import WarmStart
from tests.interop.family_configs import EUROBERT, MODERNBERT, NOMIC_BERT, changed
from tests.interop.rows import padded_batch, random_params
from tests.interop.state_dicts import from_state_dict, to_state_dict

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "down", "un", "##happy", "."]
LABELS, TAGS = Labels(names=("bad", "good", "odd")), Labels(names=("O", "B-PER"), of_tokens=True)
BERT = ModelConfig(vocab_size=60)
BIASES = {"attention_bias": True, "feed_forward_bias": True}
CONFIGS = {
    "modernbert": MODERNBERT,
    "modernbert, biases": changed(MODERNBERT, **BIASES, norm_bias=True, head_bias=True, output_bias=False),
    "modernbert, no windows": changed(MODERNBERT, local_window=None, local_rotary_base=None, pooling="mean"),
    "modernbert, all windows": changed(MODERNBERT, global_every=0, rotary_scale=2.0, tied_output=False),
    "modernbert, two layers": changed(MODERNBERT, num_layers=2, global_every=8, activation="relu"),
    "nomic_bert": NOMIC_BERT,
    "nomic_bert, one type": changed(NOMIC_BERT, num_token_types=1, rotary_scale=3.0, activation="gelu_tanh"),
    "eurobert": EUROBERT,
    "eurobert, tied": changed(EUROBERT, num_kv_heads=None, tied_output=True, pooling="cls"),
    "eurobert, biases": changed(EUROBERT, **BIASES, output_bias=True),
}
# As on the Hub: ModernBERT's has the fields of versions before 5, EuroBERT's the names of its own code.
MODERNBERT_BASE = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_dropout": 0.0,
    "classifier_pooling": "mean",
    "decoder_bias": True,
    "embedding_dropout": 0.0,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "hidden_activation": "gelu",
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 1152,
    "layer_norm_eps": 1e-05,
    "local_attention": 128,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "mlp_dropout": 0.0,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 12,
    "num_hidden_layers": 22,
    "pad_token_id": 50283,
    "position_embedding_type": "absolute",
    "tie_word_embeddings": True,
    "vocab_size": 50368,
}
MODERNBERT_LARGE = MODERNBERT_BASE | {
    "hidden_size": 1024,
    "intermediate_size": 2624,
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
}
EUROBERT_210M = {
    "architectures": ["EuroBertForMaskedLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_eurobert.EuroBertConfig",
        "AutoModelForMaskedLM": "modeling_eurobert.EuroBertForMaskedLM",
    },
    "classifier_pooling": "late",
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "eurobert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "num_key_value_heads": 12,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 250000,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
NOMIC_2048 = {
    "attention_probs_dropout_prob": 0.0,
    "hidden_act": "silu",
    "hidden_dropout_prob": 0.0,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 2048,
    "model_type": "nomic_bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "type_vocab_size": 2,
    "vocab_size": 30528,
}


def parameters(config, objectives):
    return random_params(Learner(config, objectives).model, padded_batch(config, [12, 7], 12, 3))


def count(config, objectives):
    model, batch = Learner(config, objectives).model, padded_batch(config, [12, 7], 12, 3)
    shapes = jax.eval_shape(lambda: nn.meta.unbox(model.init(jax.random.key(0), batch)["params"]))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize(
    ("values", "objectives", "expected"),
    [
        (MODERNBERT_BASE, (MaskedWords(),), 149_655_232),
        (MODERNBERT_LARGE, (MaskedWords(),), 395_881_664),
        (MODERNBERT_LARGE, (Labels(names=("a", "b")),), 395_833_346),
        (NOMIC_2048, (MaskedWords(),), 137_354_304),
        (NOMIC_2048, (Labels(names=("a", "b")),), 137_323_778),
        (EUROBERT_210M, (MaskedWords(),), 310_266_624),
        (EUROBERT_210M, (Labels(names=("a", "b"), of_tokens=True),), 211_767_554),
    ],
)
def test_published_models_have_their_number_of_parameters(values, objectives, expected):
    """Those of the classes of `transformers` 5.23, the tied decoder's bias included."""
    assert count(read_config(values).model, objectives) == expected


def test_published_configs_are_read():
    modern, euro, nomic = (read_config(one).model for one in (MODERNBERT_BASE, EUROBERT_210M, NOMIC_2048))
    layers = [modern.window(layer) for layer in range(modern.num_layers)]
    assert layers == [None if layer % 3 == 0 else 64 for layer in range(22)]
    assert (modern.rotary_base, modern.local_rotary_base, modern.pooling) == (160_000.0, 10_000.0, "mean")
    assert (modern.max_positions, modern.longest_row, modern.initializer) == (8192, None, "modernbert")
    assert (euro.rotary_base, euro.norm, euro.tied_output, euro.num_kv_heads) == (250_000.0, "rms", False, None)
    assert (nomic.rotary_base, nomic.activation, nomic.norm_position) == (1000.0, "silu", "post")


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_survive_both_ways(name):
    config = CONFIGS[name]
    values = json.loads(json.dumps(write_config(config)))
    assert values["model_type"] == name.partition(",")[0]
    assert read_config(values).model == config
    assert write_config(read_config(values).model) == values


def test_older_versions_find_the_fields_that_they_know():
    values = write_config(MODERNBERT)
    for name in ("layer_types", "rope_parameters"):
        del values[name]
    assert read_config(values).model == MODERNBERT
    assert write_config(changed(MODERNBERT, global_every=1))["global_attn_every_n_layers"] == 1


def test_dropout_is_read_where_they_have_it():
    rates = {"attention_dropout": 0.1, "embedding_dropout": 0.2, "mlp_dropout": 0.3}
    model = read_config(write_config(MODERNBERT) | rates).model
    assert (model.attention_dropout, model.dropout) == (0.1, 0.1)  # of the probabilities and of the output
    assert (model.embedding_dropout, model.feed_forward_dropout) == (0.2, 0.3)
    plain = changed(MODERNBERT, dropout=0.1, embedding_dropout=None, feed_forward_dropout=None)
    assert {name: write_config(plain)[name] for name in rates} == {
        "attention_dropout": 0.0,
        "embedding_dropout": 0.1,
        "mlp_dropout": 0.1,
    }


FULL, SLIDING = "full_attention", "sliding_attention"


@pytest.mark.parametrize(
    ("kinds", "window", "every"),
    [
        ([FULL, SLIDING, SLIDING, FULL], 8, 3),
        ([FULL, SLIDING, FULL, SLIDING], 8, 2),
        ([FULL, SLIDING, SLIDING, SLIDING], 8, 4),
        ([SLIDING] * 4, 8, 0),
        ([FULL] * 4, None, 3),
    ],
)
def test_patterns_of_layers(kinds, window, every):
    model = read_config(write_config(MODERNBERT) | {"layer_types": kinds}).model
    assert (model.local_window, model.global_every) == (window, every)
    assert [FULL if model.window(layer) is None else SLIDING for layer in range(4)] == kinds


HOSTILE = [
    (MODERNBERT, {"num_hidden_layers": -1}, "num_hidden_layers=-1 must lie between 1"),
    (MODERNBERT, {"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000: more than 1000 are not read"),
    (MODERNBERT, {"num_attention_heads": 0}, "num_attention_heads=0 must lie between 1"),
    (MODERNBERT, {"hidden_size": "24"}, "hidden_size='24', not a number of its kind"),
    (MODERNBERT, {"norm_bias": 1}, "norm_bias='1', not true or false"),
    (MODERNBERT, {"norm_eps": -1e-5}, "norm_eps=-1e-05 must be above 0"),
    (MODERNBERT, {"local_attention": 0}, "local_attention=0 must lie between 1"),
    (MODERNBERT, {"local_attention": 1}, r"local_attention=1 leaves no token"),
    (MODERNBERT, {"local_attention": 2**70}, "local_attention=1180591620717411303424 must lie between"),
    (MODERNBERT, {"vocab_size": 2**70}, "vocab_size=1180591620717411303424 must lie between"),
    (MODERNBERT, {"layer_types": "full"}, "should have full_attention or sliding_attention for each"),
    (MODERNBERT, {"layer_types": [FULL] * 3}, "should have full_attention or sliding_attention for each"),
    (MODERNBERT, {"layer_types": [FULL, "chunked_attention", FULL, [1]]}, "should have full_attention or"),
    (MODERNBERT, {"layer_types": [SLIDING, FULL, SLIDING, FULL]}, r"in the layers '1, 3': only every n-th layer"),
    (MODERNBERT, {"layer_types": [FULL, FULL, SLIDING, FULL]}, r"in the layers '0, 1, 3': only every n-th layer"),
    (MODERNBERT, {"global_attn_every_n_layers": 0}, "global_attn_every_n_layers='0', not a number of layers"),
    (MODERNBERT, {"global_attn_every_n_layers": True}, "global_attn_every_n_layers='True', not a number"),
    (MODERNBERT, {"rope_parameters": [1]}, "full_attention and sliding_attention as its rope_parameters"),
    (MODERNBERT, {"rope_parameters": {"rope_theta": 1.0}}, "full_attention and sliding_attention as its"),
    (MODERNBERT, {"rope_parameters": {FULL: 3}}, "rope_parameters of full_attention='3', not an object"),
    (MODERNBERT, {"rope_parameters": {FULL: {"rope_type": "yarn"}}}, "rope_type='yarn': only default and linear"),
    (MODERNBERT, {"rope_parameters": {FULL: {"rope_theta": -1.0}}}, "rope_theta=-1.0 must be above 0"),
    (MODERNBERT, {"rope_parameters": {SLIDING: {"rope_theta": 10**400}}}, "rope_theta='1000.*not a number"),
    (MODERNBERT, {"rope_parameters": {FULL: {"type": "linear", "factor": 2.0}}}, "the factors 1.0 and 2.0: only one"),
    (MODERNBERT, {"rope_scaling": {"factor": 2}}, "and no rope_scaling"),
    (MODERNBERT, {"classifier_pooling": "max"}, "classifier_pooling='max' is not one of cls, mean"),
    (MODERNBERT, {"classifier_activation": "relu"}, "classifier_activation='relu' differs from hidden_activation"),
    (MODERNBERT, {"hidden_activation": "tanh", "classifier_activation": "tanh"}, "hidden_activation='tanh' is not one"),
    (MODERNBERT, {"auto_map": {"AutoModel": "evil.ModernBertModel"}}, "never run: it is not plain ModernBERT"),
    (NOMIC_BERT, {"auto_map": {"AutoModel": "evil.Model"}}, "never run: it is not plain NomicBERT"),
    (NOMIC_BERT, {"auto_map": [1]}, "never run: it is not plain NomicBERT"),
    (NOMIC_BERT, {"tie_word_embeddings": False}, "tie_word_embeddings='False' is not supported"),
    (NOMIC_BERT, {"head_dim": 16}, "head_dim='16' is not supported"),
    (NOMIC_BERT, {"type_vocab_size": -2}, "type_vocab_size=-2 must lie between 0"),
    (NOMIC_BERT, {"type_vocab_size": 0}, "type_vocab_size='0', not 1 or more"),
    (NOMIC_BERT, {"rope_parameters": {"rope_type": "linear", "factor": float("inf")}}, "factor=inf must be above 0"),
    (NOMIC_BERT, {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor='0.5': only 1.0"),
    (EUROBERT, {"num_key_value_heads": 4}, "num_key_value_heads=4 does not divide"),
    (EUROBERT, {"num_key_value_heads": -1}, "num_key_value_heads=-1 must lie between"),
    (EUROBERT, {"hidden_size": 18}, "must be even"),
    (EUROBERT, {"classifier_pooling": ["late"]}, r"classifier_pooling=.*late.* is not one of bos, mean, late"),
    (EUROBERT, {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type='dynamic': only default and linear"),
]


@pytest.mark.parametrize(("config", "change", "message"), HOSTILE)
def test_other_values_are_refused_in_a_sentence(config, change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(write_config(config) | change)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_older_form_of_nomic_bert_is_told_how_to_convert_it():
    old = {
        "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"},
        "model_type": "nomic_bert",
        "n_embd": 768,
        "n_layer": 12,
        "vocab_size": 30528,
    }
    with pytest.raises(ConfigError, match=r"n_embd in place of hidden_size, .* transformers 5\.23 or later"):
        read_config(old)
    assert read_config(NOMIC_2048 | old).model == read_config(NOMIC_2048).model  # once it is saved again


@pytest.mark.parametrize(
    ("name", "objectives"),
    [
        *((name, (MaskedWords(),)) for name in CONFIGS),
        *(("modernbert", (one,)) for one in (LABELS, Choices(), Spans())),
        ("modernbert, biases", (TAGS,)),
        *(("nomic_bert", (one,)) for one in (LABELS, TAGS)),
        ("eurobert, biases", (TAGS,)),
    ],
)
def test_parameters_survive_both_ways(name, objectives):
    config = CONFIGS[name]
    params = parameters(config, objectives)
    tensors = to_state_dict(params, config)
    classifier = objectives[0].name
    back = from_state_dict(tensors, config, None, "label" if classifier == "mlm" else classifier)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)
    assert all(value.flags.c_contiguous and value.dtype == np.float32 for value in tensors.values())


def test_each_number_goes_where_it_belongs():
    """A few entries by hand: which index is the head, which the group, which half of a tensor is the gate."""
    params = parameters(MODERNBERT, (MaskedWords(),))
    tensors, layer = to_state_dict(params, MODERNBERT), params["bert"]["encoder"]["layer_1"]
    fused = tensors["model.layers.1.attn.Wqkv.weight"]
    for i in range(3):
        assert fused[24 * i + 2 * 8 + 5, 7] == layer["attention"]["query_key_value"]["kernel"][7, 2, i, 5]
    halves = tensors["model.layers.1.mlp.Wi.weight"]
    assert halves[3, 7] == layer["feed_forward"]["gate"]["kernel"][7, 3]
    assert halves[20 + 3, 7] == layer["feed_forward"]["intermediate"]["kernel"][7, 3]
    assert "model.layers.0.attn_norm.weight" not in tensors
    assert tensors["decoder.weight"] is tensors["model.embeddings.tok_embeddings.weight"]

    params = parameters(EUROBERT, (MaskedWords(),))
    tensors = to_state_dict(params, EUROBERT)
    kernel, theirs = params["bert"]["encoder"]["layer_1"]["attention"]["query_key_value"]["kernel"], "model.layers.1."
    # Head 4 of 6 is the second of the second group of three.
    assert tensors[f"{theirs}self_attn.q_proj.weight"][4 * 4 + 3, 7] == kernel[7, 1, 1, 3]
    assert tensors[f"{theirs}self_attn.k_proj.weight"][1 * 4 + 3, 7] == kernel[7, 1, 3, 3]
    assert tensors[f"{theirs}self_attn.v_proj.weight"][1 * 4 + 3, 7] == kernel[7, 1, 4, 3]


@pytest.mark.parametrize("name", ["modernbert", "nomic_bert", "eurobert"])
@pytest.mark.parametrize("prefix", ["", "module.", "0.auto_model."])
def test_the_body_alone_and_prefixes(name, prefix):
    config = CONFIGS[name]
    params = {"bert": parameters(config, (MaskedWords(),))["bert"]}
    bare = to_state_dict(params, config)
    assert not any(tensor.startswith(f"{family_of(config).base}.") for tensor in bare)
    back = from_state_dict({prefix + tensor: value for tensor, value in bare.items()}, config, None)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_copies_of_the_word_table():
    params = parameters(MODERNBERT, (MaskedWords(),))
    tensors = to_state_dict(params, MODERNBERT)
    without = {name: value for name, value in tensors.items() if name != "decoder.weight"}
    for one in (tensors, without, tensors | {"model.rotary_emb.full_attention_inv_freq": np.ones(3)}):
        jax.tree.map(np.testing.assert_array_equal, from_state_dict(one, MODERNBERT, None), params)
    with pytest.raises(CheckpointError, match=r"separate output table must say tie_word_embeddings=false\."):
        from_state_dict(tensors | {"decoder.weight": tensors["decoder.weight"] + 1}, MODERNBERT, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({"head.dense.bias": np.ones(24)}), "have 'head.dense.bias', which this model does not"),
        (lambda t: t.pop("model.final_norm.weight"), "lack 'model.final_norm.weight'"),
        (lambda t: t.update({"model.layers.4.attn.Wo.weight": np.ones((24, 24))}), "have 5 layers, but the config"),
        (lambda t: t.update({"model.layers.0.attn_norm.weight": np.ones(24)}), "layers.0.attn_norm.weight', which"),
        (lambda t: t.update({"model.layers.1.mlp.Wi.weight": np.ones((20, 24))}), r"\[20, 24\] where .* \[40, 24\]"),
        (lambda t: t.update({"head.norm.weight": np.full(24, np.inf)}), "not finite"),
        (lambda t: t.pop("model.embeddings.tok_embeddings.weight"), "should have one tensor embeddings.tok_embeddings"),
    ],
)  # fmt: skip
def test_weights_of_another_model_are_refused_in_a_sentence(change, message):
    tensors = to_state_dict(parameters(MODERNBERT, (MaskedWords(),)), MODERNBERT)
    del tensors["decoder.weight"]
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        from_state_dict(tensors, MODERNBERT, None)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (MODERNBERT, {"query_key_norm": True}, r"ModernBERT, .* no model\.query_key_norm=true \(only false\)"),
        (MODERNBERT, {"first_norm": True}, r"ModernBERT, .* no model\.first_norm=true \(only false\)"),
        (MODERNBERT, {"final_norm": False}, r"ModernBERT, .* no model\.final_norm=false"),
        (MODERNBERT, {"rotary_share": 0.5}, r"ModernBERT, .* no model\.rotary_share=0\.5 \(only 1\.0\)"),
        (MODERNBERT, {"num_kv_heads": 1}, r"ModernBERT, .* no model\.num_kv_heads=1 \(only none\)"),
        (MODERNBERT, {"positions": "alibi"}, r"ModernBERT, .* no model\.positions=alibi \(only rotary\)"),
        (NOMIC_BERT, {"num_token_types": 0}, r"NomicBERT, .* no model\.num_token_types=0 \(only 1 or more\)"),
        (NOMIC_BERT, {"feed_forward": "plain"}, r"NomicBERT, .* no model\.feed_forward=plain \(only gated\)"),
        (EUROBERT, {"embedding_norm": True}, r"EuroBERT, .* no model\.embedding_norm=true \(only false\)"),
        (BERT, {"attention_bias": False}, r"BERT, .* no model\.attention_bias=false \(only true\)"),
        (BERT, {"positions": "alibi", "norm": "rms"}, r"BERT, .* no model\.positions=alibi \(only"
         r" learned or sinusoidal or none\) and no model\.norm=rms \(only layer\): save_checkpoint"),
    ],
)  # fmt: skip
def test_what_no_family_has_is_refused_by_the_name_of_the_field(config, changes, message):
    with pytest.raises(ConfigError, match=f"Hugging Face's {message}"):
        write_config(changed(config, **changes))


@pytest.mark.parametrize(
    ("config", "objectives", "message"),
    [
        (MODERNBERT, (MaskedWords(), SentencePairs()), "no ModernBERT with the heads mlm, nsp together"),
        (NOMIC_BERT, (Spans(),), "no NomicBERT with the head span"),
        (EUROBERT, (LABELS,), "no EuroBERT with the head label"),
        (changed(MODERNBERT, head_transform="words"), (LABELS,), r"'label' .* model\.head_transform=words: to export"
         r" it, train with model\.head_transform=all\.$"),
        (changed(MODERNBERT, pooling="max"), (LABELS,), r"no model\.pooling=max: .* model\.pooling=cls or mean\.$"),
        (changed(MODERNBERT, logit_cap=30.0), (MaskedWords(),), r"no model\.logit_cap=30\.0: .* model\.logit_cap=none"),
        (changed(NOMIC_BERT, head_transform="all"), (LABELS,), r"no model\.head_transform=all"),
        (changed(NOMIC_BERT, tied_output=False), (MaskedWords(),), r"no model\.tied_output=false"),
        (changed(EUROBERT, output_bias=True), (MaskedWords(),), r"no model\.output_bias=true"),
        (changed(EUROBERT, head_transform="all"), (TAGS,), r"'tokens' .* no model\.head_transform=all"),
    ],
)  # fmt: skip
def test_heads_that_a_family_does_not_have_are_refused(config, objectives, message, tmp_path):
    params = parameters(config, objectives)
    with pytest.raises(ConfigError, match=message):
        write_folder(tmp_path / "model", config, params, objectives, {})
    assert not (tmp_path / "model").exists()


def test_every_model_field_is_known_to_every_family():
    """A new field is refused unless it has its default, or a family says that it has it."""
    for family in WRITTEN:
        for name in (*family.only, *family.free, *family.settings):
            assert name in DEFAULTS
    assert len({id(family) for family in FAMILIES.values()}) == len(WRITTEN) + 2  # RoBERTa and DistilBERT are read only


def write(folder, config, objectives, **settings):
    config = changed(config, vocab_size=16)
    params = parameters(config, objectives)
    write_folder(folder, config, params, objectives, {"vocab.txt": "\n".join(WORDS).encode()}, **settings)
    return config, params


@pytest.mark.parametrize("config", [MODERNBERT, NOMIC_BERT, EUROBERT])
def test_folders_of_sentence_transformers_and_their_limits(config, tmp_path):
    written, params = write(tmp_path, config, (), sentence_pooling="mean", max_tokens=8192, normalize=True)
    assert read_config(json.loads((tmp_path / "config.json").read_text())).model.max_positions == 8192
    bert = bert_jax.load(tmp_path)
    assert (bert.max_tokens, bert.pooling, bert.normalize) == (8192, "mean", True)
    assert bert.config == changed(written, max_positions=8192)
    assert np.linalg.norm(bert.embed("the cat sat down ." * 30)) == pytest.approx(1)
    for limit, expected in ((2048, 2048), (8192, 8192), (int(1e30), 8192)):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": limit}))
        assert bert_jax.load(tmp_path).max_tokens == expected
    jax.tree.map(np.testing.assert_array_equal, bert.params, {"bert": params["bert"]})


def test_a_head_of_words_without_parameters(tmp_path):
    """As in EuroBERT with a tied table: only the class says that it is there."""
    config, _ = write(tmp_path, changed(EUROBERT, tied_output=True), (MaskedWords(),))
    assert config.tied_output
    bert = bert_jax.load(tmp_path)
    assert bert.objectives == (MaskedWords(),)
    assert len(bert.fill_mask("the [MASK] sat")[0]) == 5
    bert.save_huggingface(tmp_path / "again")
    assert bert_jax.load(tmp_path / "again").objectives == (MaskedWords(),)
    names = SafetensorsFile(epath.Path(tmp_path) / "again" / WEIGHTS).infos
    assert "model.embed_tokens.weight" in names


def test_a_head_that_only_the_class_says_is_there_is_not(tmp_path):
    write(tmp_path, MODERNBERT, ())
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"architectures": ["ModernBertForMaskedLM"]}))
    assert bert_jax.load(tmp_path).objectives == ()


@pytest.mark.parametrize(
    ("config", "new"),
    [
        (MODERNBERT, "label (4 arrays)"),
        (NOMIC_BERT, "bert/pooler/dense (2 arrays), label/dense (2 arrays)"),
        (EUROBERT, "label/dense (2 arrays)"),
    ],
)
def test_runs_start_from_a_folder_and_their_new_head_at_random(config, new, tmp_path):
    written, _ = write(tmp_path, config, (MaskedWords(),), max_tokens=512)
    assert read_starting_point(tmp_path).model == written
    learner = Learner(written, (LABELS,))
    shapes = jax.eval_shape(lambda: parameters(written, (LABELS,)))
    start = WarmStart.plan(TrainConfig(init_from=str(tmp_path)), shapes, open_start)
    assert [line.strip() for line in start.describe() if "at random" in line] == [f"new, at random: {new}"]
    assert learner.config == written


def test_the_class_names_the_family():
    names = {name: architecture(config, (MaskedWords(),)) for name, config in CONFIGS.items() if "," not in name}
    assert set(names.values()) == {"ModernBertForMaskedLM", "NomicBertForMaskedLM", "EuroBertForMaskedLM"}
    assert architecture(MODERNBERT, (TAGS,)) == "ModernBertForTokenClassification"
    with pytest.raises(ConfigError, match="nearest"):
        architecture(dataclasses.replace(MODERNBERT, query_key_norm=True), ())
