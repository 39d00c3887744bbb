"""Google's checkpoints under Hugging Face's names: as TensorFlow wrote them, and what Google's BERT made of them."""

import json
import pathlib
import shutil

import ml_dtypes
import numpy as np
import pytest
from etils import epath

from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop.google import GoogleTensors, find_checkpoint, is_google_folder, read_google_config
from bert_jax.interop.google_names import Source, find_sources
from bert_jax.interop.tensors import TensorInfo
from tests.interop import bundle_writer as writer
from tests.interop import google_model
from tests.interop.google_model import LABELS, LAYERS, SIZE, TYPES, WORDS, value
from tests.quickness import at_once

GOLDEN = epath.Path(__file__).parents[1] / "golden" / "google"
LINEAR = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
MODULES = (*LINEAR, "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")
BODY = {
    *(f"bert.embeddings.{name}_embeddings.weight" for name in ("word", "position", "token_type")),
    *(
        f"{module}.{leaf}"
        for leaf in ("weight", "bias")
        for module in (
            "bert.embeddings.LayerNorm",
            "bert.pooler.dense",
            *(f"bert.encoder.layer.{layer}.{name}" for layer in range(LAYERS) for name in MODULES),
        )
    ),
}
HEADS = {
    *(f"cls.predictions.transform.{name}.{leaf}" for name in ("dense", "LayerNorm") for leaf in ("weight", "bias")),
    "cls.predictions.bias",
    "cls.seq_relationship.weight",
    "cls.seq_relationship.bias",
}
CLASSIFIER = {"classifier.weight", "classifier.bias"}


def opened(name):
    return GoogleTensors(find_checkpoint(GOLDEN / name))


def arrays(name):
    tensors = opened(name)
    found = {name: tensors.read(name) for name in tensors.infos}
    assert {name: TensorInfo(array.shape, array.dtype) for name, array in found.items()} == tensors.infos
    return found


@pytest.fixture(scope="module")
def outputs():
    with np.load(GOLDEN / "outputs.npz", allow_pickle=False) as file:
        return dict(file)


def states(tensors, outputs):
    ids, types, mask = (outputs[f"input_{name}"] for name in ("word_ids", "type_ids", "mask"))
    return google_model.sequence(tensors, ids, types, mask.astype(bool))


def assert_near(found, expected, rows=slice(None)):
    np.testing.assert_allclose(found[rows], expected[rows], rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "tensors"),
    [
        ("released", BODY | HEADS),
        ("pretrainer", BODY | HEADS),
        ("fine_tuned", BODY | CLASSIFIER),
        ("classifier", BODY | CLASSIFIER),
    ],
)
def test_names_are_hugging_faces_and_nothing_else_is_there(name, tensors):
    assert set(opened(name).infos) == tensors


def test_each_number_goes_where_it_belongs():
    found = arrays("released")
    layer = "bert/encoder/layer_1/attention"
    for part in ("query", "key", "value"):
        kernel = value(f"{layer}/self/{part}/kernel", (SIZE, SIZE))
        np.testing.assert_array_equal(found[f"bert.encoder.layer.1.attention.self.{part}.weight"], kernel.T)
    name = "bert/encoder/layer_0/intermediate/dense/kernel"
    np.testing.assert_array_equal(found["bert.encoder.layer.0.intermediate.dense.weight"], value(name, (8, 12)).T)
    norm = f"{layer}/output/LayerNorm"
    np.testing.assert_array_equal(
        found["bert.encoder.layer.1.attention.output.LayerNorm.weight"], value(f"{norm}/gamma", (SIZE,))
    )
    np.testing.assert_array_equal(
        found["bert.encoder.layer.1.attention.output.LayerNorm.bias"], value(f"{norm}/beta", (SIZE,))
    )
    types = value("bert/embeddings/token_type_embeddings", (TYPES, SIZE))
    np.testing.assert_array_equal(found["bert.embeddings.token_type_embeddings.weight"], types)
    pairs = value("cls/seq_relationship/output_weights", (2, SIZE))
    np.testing.assert_array_equal(found["cls.seq_relationship.weight"], pairs)
    np.testing.assert_array_equal(found["cls.predictions.bias"], value("cls/predictions/output_bias", (WORDS,)))


@pytest.mark.parametrize("name", ["released", "pretrainer"])
def test_the_model_computes_what_googles_did(name, outputs):
    """Google's own converter read `released` into its own model, which wrote `pretrainer` and the outputs."""
    tensors = arrays(name)
    found = states(tensors, outputs)
    assert_near(found, outputs["sequence"])
    pooled = google_model.pooled(tensors, found)
    assert_near(pooled, outputs["pooled"])
    assert_near(google_model.dense(tensors, "cls.seq_relationship", pooled), outputs["next_sentence"])
    positions = outputs["masked_lm_positions"]
    assert_near(google_model.masked_words(tensors, found, positions), outputs["masked_words"])


def test_both_forms_of_one_model_are_equal():
    left, right = arrays("released"), arrays("pretrainer")
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_a_classifier_of_tf_2_computes_what_it_did(outputs):
    tensors = arrays("classifier")
    pooled = google_model.pooled(tensors, states(tensors, outputs))
    assert_near(google_model.dense(tensors, "classifier", pooled), outputs["labels"])


def test_a_bare_head_is_the_classifier_and_dtypes_stay():
    tensors = arrays("fine_tuned")
    np.testing.assert_array_equal(tensors["classifier.weight"], value("output_weights", (LABELS, SIZE)))
    np.testing.assert_array_equal(tensors["classifier.bias"], value("output_bias", (LABELS,)))
    dtypes = {name.split(".")[3]: array.dtype for name, array in tensors.items() if ".layer." in name}
    assert dtypes == {"0": ml_dtypes.bfloat16, "1": np.float16}


def test_partitioned_variables_are_refused_by_name():
    with pytest.raises(CheckpointError, match=r"word_embeddings', which is stored in slices"):
        opened("partitioned")


def test_reading_checks_the_numbers(tmp_path):
    shutil.copytree(GOLDEN / "released", tmp_path / "released")
    path = tmp_path / "released" / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[content.index(value("bert/pooler/dense/kernel", (SIZE, SIZE)).tobytes()) + 100] ^= 1
    path.write_bytes(content)
    tensors = GoogleTensors(find_checkpoint(epath.Path(tmp_path / "released")))
    tensors.read("bert.pooler.dense.bias")
    with pytest.raises(CheckpointError, match="'bert/pooler/dense/kernel' does not have its checksum"):
        tensors.read("bert.pooler.dense.weight")


TABLE = "bert/embeddings/word_embeddings"


def test_what_training_left_is_not_a_parameter():
    slots = [f"{TABLE}/{slot}" for slot in ("adam_m", "adam_v", "Adam", "Adam_1", "LAMB", "Momentum")]
    counters = ["global_step", "beta1_power", "beta2_power", "current_loss_scale", "good_steps"]
    orphans = ["bert/encoder/relations/kernel/adam_m", "cls/squad/output_weights/adam_v"]
    found = find_sources([TABLE, *slots, *counters, *orphans])
    assert found == {"bert.embeddings.word_embeddings.weight": Source(TABLE, "table")}


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("cls/squad/output_weights", "qa_outputs.weight"),
        ("cls/squad/output_bias", "qa_outputs.bias"),
        ("output_bias", "classifier.bias"),
        ("bert/encoder/layer_11/output/LayerNorm/gamma", "bert.encoder.layer.11.output.LayerNorm.weight"),
        ("bert/encoder/layer_0/attention/output/dense/bias", "bert.encoder.layer.0.attention.output.dense.bias"),
    ],
)
def test_some_names(variable, name):
    assert list(find_sources([variable])) == [name]


@pytest.mark.parametrize(
    "variable",
    [
        "bert/embeddings/relation_embedding",
        "bert/encoder/layer_00/output/dense/bias",
        "bert/encoder/layer_1/output/dense/weights",
        "bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel",
        "electra/embeddings/word_embeddings",
        "bert/encoder/layer_1/output/dense/bias\n",
        "optimizer",
        "",
    ],
)
def test_unknown_variables_are_named(variable):
    with pytest.raises(CheckpointError) as refusal:
        find_sources([TABLE, variable])
    assert repr(variable) in str(refusal.value)
    with pytest.raises(CheckpointError, match="and 2 more, which Google's BERT does not have"):
        find_sources([TABLE, variable, "a", "b" * 1000])


def test_a_tensor_that_is_there_twice_is_named():
    with pytest.raises(CheckpointError, match=r"'classifier/output_bias' and 'output_bias' are both classifier\.bias"):
        find_sources(["output_bias", "classifier/output_bias"])


@pytest.mark.parametrize(
    "names",
    [
        ("encoder/layer_with_weights-4/X", "encoder/layer_with_weights-04/X"),
        ("encoder/layer_with_weights-4/X", "encoder/_transformer_layers/0/X"),
        ("encoder/layer_with_weights-4/X", "masked_lm/bias", "masked_lm/output_bias.Sbias"),
    ],
)
def test_a_variable_of_tf_2_that_is_there_twice_is_named(names):
    with pytest.raises(CheckpointError, match="are the same variable: remove one of them"):
        find_sources(objects(*(name.replace("X", QUERY) for name in names)))


def objects(*names):
    return ["_CHECKPOINTABLE_OBJECT_GRAPH", *(f"{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in names)]


QUERY = "_attention_layer/_query_dense/kernel"


def test_encoders_of_the_model_garden():
    numbered = [f"encoder/layer_with_weights-{number}" for number in range(7)]
    by_number = find_sources(
        objects(
            *(f"{layer}/embeddings" for layer in numbered[:3]),
            f"{numbered[3]}/gamma",
            *(f"{layer}/{QUERY}" for layer in numbered[4:6]),
            f"{numbered[5]}/_output_layer_norm/beta",
            f"{numbered[5]}/_attention_output_dense/kernel",
            f"{numbered[6]}/kernel",
            "optimizer/iter",
            f"{numbered[6]}/kernel/.OPTIMIZER_SLOT/optimizer/m",
            "save_counter",
        )
    )
    assert list(by_number) == [
        "bert.embeddings.word_embeddings.weight",
        "bert.embeddings.position_embeddings.weight",
        "bert.embeddings.token_type_embeddings.weight",
        "bert.embeddings.LayerNorm.weight",
        "bert.encoder.layer.0.attention.self.query.weight",
        "bert.encoder.layer.1.attention.self.query.weight",
        "bert.encoder.layer.1.output.LayerNorm.bias",
        "bert.encoder.layer.1.attention.output.dense.weight",
        "bert.pooler.dense.weight",
    ]
    assert by_number["bert.pooler.dense.weight"].variable == f"{numbered[6]}/kernel/.ATTRIBUTES/VARIABLE_VALUE"


def test_heads_of_the_model_garden():
    body = f"model/layer_with_weights-0/layer_with_weights-4/{QUERY}"
    old = find_sources(
        objects(
            body,
            "model/layer_with_weights-1/layer_with_weights-0/kernel",
            "model/layer_with_weights-2/dense/kernel",
            "model/layer_with_weights-2/output_bias.Sbias",
            "model/layer_with_weights-2/embedding_table",
        )
    )
    query = "bert.encoder.layer.0.attention.self.query.weight"
    table = "bert.embeddings.word_embeddings.weight"
    words = ["cls.predictions.transform.dense.weight", "cls.predictions.bias"]
    assert list(old) == [query, "cls.seq_relationship.weight", *words, table]
    labels = find_sources(objects(body, "model/layer_with_weights-1/bias"))
    assert list(labels) == [query, "classifier.bias"]
    separate = find_sources(
        objects(
            f"encoder/_transformer_layers/0/{QUERY}", "encoder/_embedding_layer/embeddings", "masked_lm/embedding_table"
        )
    )
    assert list(separate) == [query, table, "cls.predictions.decoder.weight"]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            objects("model/dense/kernel"),
            "not of a BERT of the model garden: it has no encoders .* 'model/dense/kernel/",
        ),
        (objects(), "TF 2 object checkpoint"),
        (
            objects(f"a/_transformer_layers/0/{QUERY}", f"b/_transformer_layers/0/{QUERY}"),
            "it has 2 encoders of the known form",
        ),
        (
            objects(f"a/_transformer_layers/0/{QUERY}", "head/kernel"),
            "'head/kernel/.ATTRIBUTES/VARIABLE_VALUE', which Google's BERT",
        ),
        (
            objects(
                f"a/layer_with_weights-4/{QUERY}", "a/layer_with_weights-4/kernel", "a/layer_with_weights-9/kernel"
            ),
            "and 1 more, which Google's BERT",
        ),
    ],
)
def test_other_object_checkpoints_are_refused_as_such(names, reason):
    with pytest.raises(CheckpointError, match=reason):
        find_sources(names)


def test_many_unknown_names_take_no_long_time():
    with at_once(2):
        with pytest.raises(CheckpointError, match="and 19999 more"):
            find_sources([f"{'a/' * 400}{i}" for i in range(20_000)])
        with pytest.raises(CheckpointError, match="TF 2 object checkpoint"):
            find_sources(objects(*(f"{'layer_with_weights-4/' * 40}{i}" for i in range(20_000))))


def checkpoints(folder, *names):
    for name in names:
        writer.write(folder / name, {TABLE: np.ones((2, 3), np.float32)})
    return epath.Path(folder)


def test_a_checkpoint_may_have_any_name(tmp_path):
    folder = checkpoints(tmp_path, "model.ckpt-20000")
    assert find_checkpoint(folder).name == "model.ckpt-20000"
    assert not is_google_folder(folder)
    (tmp_path / "bert_config.json").write_text("{}")
    assert is_google_folder(folder)
    assert GoogleTensors(find_checkpoint(folder)).infos.keys() == {"bert.embeddings.word_embeddings.weight"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('model_checkpoint_path: "model.ckpt-9"\nall_model_checkpoint_paths: "model.ckpt-10"\n', "model.ckpt-9"),
        (
            'all_model_checkpoint_paths: "model.ckpt-9"\nmodel_checkpoint_path: "/other/model.ckpt-10"\n',
            "model.ckpt-10",
        ),
        ('model_checkpoint_path: "../../model.ckpt-10"', "model.ckpt-10"),
        ('model_checkpoint_path: "model.ckpt-11"', None),
        ('model_checkpoint_path: ".."', None),
        ("\x00\xff", None),
        (None, None),
    ],
)
def test_of_several_checkpoints_the_one_that_the_folder_names(text, expected, tmp_path):
    folder = checkpoints(tmp_path, "model.ckpt-9", "model.ckpt-10")
    if text is not None:
        (tmp_path / "checkpoint").write_text(text, encoding="latin-1")
    if expected is not None:
        assert find_checkpoint(folder) == folder / expected
        return
    with pytest.raises(CheckpointError, match=r"2 checkpoints \('model.ckpt-10', 'model.ckpt-9'\)"):
        find_checkpoint(folder)


def test_a_folder_without_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="has no TensorFlow checkpoint"):
        find_checkpoint(epath.Path(tmp_path))


def test_configs():
    values = read_google_config(GOLDEN / "released")
    stored = json.loads((GOLDEN / "released" / "bert_config.json").read_text())
    assert values == stored | {"model_type": "bert", "layer_norm_eps": 1e-12}
    assert values["hidden_act"] == "gelu"
    assert read_google_config(GOLDEN / "released", gelu="gelu_new")["hidden_act"] == "gelu_new"


@pytest.mark.parametrize(
    ("text", "activation"),
    [('{"hidden_act": null}', "linear"), ('{"hidden_act": "relu"}', "relu"), ("{}", "gelu_new")],
)
def test_activations(text, activation, tmp_path):
    (tmp_path / "bert_config.json").write_text(text)
    assert read_google_config(epath.Path(tmp_path), gelu="gelu_new")["hidden_act"] == activation


@pytest.mark.parametrize("text", ["[1]", "", "{", "[" * 100_000, '{"a": "' + "x" * 2_000_000 + '"}', None])
def test_configs_that_are_none(text, tmp_path):
    if text is not None:
        (pathlib.Path(tmp_path) / "bert_config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"bert_config\.json (is not a JSON object|cannot be opened)"):
        read_google_config(epath.Path(tmp_path))
