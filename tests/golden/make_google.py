"""Writes `google/`, checkpoints by TensorFlow and what its BERT computes, for `tests/interop/test_google.py`.

    pip install tensorflow-cpu tf-keras pyyaml gin-config scipy tensorflow-hub
    pip install --no-deps tf-models-official
    python -m tests.golden.make_google

in an environment of its own. The files were written with tensorflow-cpu 2.21.0 and tf-models-official 2.20.0. Write
them again only when this script changes; never because a test of ours fails.
"""

import json
import os
import pathlib
import shutil
import tempfile

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras
from official.nlp.modeling import layers, models, networks
from official.nlp.tools import tf1_bert_checkpoint_converter_lib as converter

from tests.interop.google_model import HEADS, INNER, LABELS, LAYERS, POSITIONS, SIZE, TYPES, WORDS, value

FOLDER = pathlib.Path(__file__).parent / "google"
CONFIG = {
    "attention_probs_dropout_prob": 0.1,
    "directionality": "bidi",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": SIZE,
    "initializer_range": 0.02,
    "intermediate_size": INNER,
    "max_position_embeddings": POSITIONS,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "pooler_type": "first_token_transform",
    "type_vocab_size": TYPES,
    "vocab_size": WORDS,
}


def main() -> None:
    """Writes the folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_released()
    write_fine_tuned()
    write_partitioned()
    write_pretrainer()
    write_classifier()
    for path in sorted(FOLDER.rglob("*")):
        print(path.relative_to(FOLDER), path.stat().st_size)


def body() -> dict[str, tuple[int, ...]]:
    """The variables of Google's code, and their shapes."""

    def norm(name):
        return {f"{name}/LayerNorm/beta": (SIZE,), f"{name}/LayerNorm/gamma": (SIZE,)}

    def dense(name, inputs, outputs):
        return {f"{name}/kernel": (inputs, outputs), f"{name}/bias": (outputs,)}

    found = {
        "bert/embeddings/word_embeddings": (WORDS, SIZE),
        "bert/embeddings/token_type_embeddings": (TYPES, SIZE),
        "bert/embeddings/position_embeddings": (POSITIONS, SIZE),
        **norm("bert/embeddings"),
    }
    for layer in range(LAYERS):
        at = f"bert/encoder/layer_{layer}"
        for part in ("query", "key", "value"):
            found |= dense(f"{at}/attention/self/{part}", SIZE, SIZE)
        found |= dense(f"{at}/attention/output/dense", SIZE, SIZE) | norm(f"{at}/attention/output")
        found |= dense(f"{at}/intermediate/dense", SIZE, INNER)
        found |= dense(f"{at}/output/dense", INNER, SIZE) | norm(f"{at}/output")
    return found | dense("bert/pooler/dense", SIZE, SIZE)


def pretraining() -> dict[str, tuple[int, ...]]:
    """The same with the heads of pretraining."""
    return body() | {
        "cls/predictions/transform/dense/kernel": (SIZE, SIZE),
        "cls/predictions/transform/dense/bias": (SIZE,),
        "cls/predictions/transform/LayerNorm/beta": (SIZE,),
        "cls/predictions/transform/LayerNorm/gamma": (SIZE,),
        "cls/predictions/output_bias": (WORDS,),
        "cls/seq_relationship/output_weights": (2, SIZE),
        "cls/seq_relationship/output_bias": (2,),
    }


def variable(name: str, shape: tuple[int, ...], dtype: tf.DType = tf.float32) -> tf.Variable:
    """A variable of TF 1 with its numbers."""
    return tf.compat.v1.get_variable(name, initializer=tf.cast(value(name, shape), dtype), use_resource=True)


def prefix(folder: str, name: str = "bert_model.ckpt") -> str:
    """Makes a folder for a checkpoint."""
    (FOLDER / folder).mkdir(parents=True, exist_ok=True)
    (FOLDER / folder / "bert_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    return str(FOLDER / folder / name)


def save(folder: str) -> None:
    """Saves all variables of the graph as TF 1 does."""
    with tf.compat.v1.Session() as session:
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, prefix(folder), write_meta_graph=False)
    (FOLDER / folder / "checkpoint").unlink()


def write_released() -> None:
    """A pretrained model, with the slots of Google's own optimiser for some variables."""
    with tf.Graph().as_default():
        for name, shape in pretraining().items():
            variable(name, shape)
        for name, shape in list(pretraining().items())[:8]:
            variable(f"{name}/adam_m", shape)
            variable(f"{name}/adam_v", shape)
        tf.compat.v1.train.create_global_step()
        save("released")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##i", "##j", "##k"]
    (FOLDER / "released" / "vocab.txt").write_text("\n".join(words) + "\n")


def write_fine_tuned() -> None:
    """A classifier in two data files, in float32, bfloat16 and float16, with the slots of TensorFlow's Adam."""
    with tf.Graph().as_default():
        found = []
        for name, shape in (body() | {"output_weights": (LABELS, SIZE), "output_bias": (LABELS,)}).items():
            dtype = {"bert/encoder/layer_0": tf.bfloat16, "bert/encoder/layer_1": tf.half}.get(name[:20], tf.float32)
            found.append(variable(name, shape, dtype))
        some = [*found[:5], found[-1]]
        loss = tf.add_n([tf.reduce_sum(one) for one in some])
        tf.compat.v1.train.AdamOptimizer().minimize(loss, tf.compat.v1.train.create_global_step(), some)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            arrays = session.run({one.op.name: one for one in tf.compat.v1.global_variables()})
    # What a saver does on two machines.
    parts, names = [f"{prefix('fine_tuned')}_{part}" for part in range(2)], sorted(arrays)
    for part in range(2):
        chosen = names[part::2]
        tf.raw_ops.SaveV2(
            prefix=parts[part],
            tensor_names=chosen,
            shape_and_slices=[""] * len(chosen),
            tensors=[arrays[name] for name in chosen],
        )
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix("fine_tuned", "model.ckpt-3"))


def write_partitioned() -> None:
    """A word table in two slices."""
    with tf.Graph().as_default():
        tf.compat.v1.get_variable(
            "bert/embeddings/word_embeddings",
            initializer=tf.zeros((WORDS, SIZE)),
            partitioner=tf.compat.v1.fixed_size_partitioner(2),
        )
        save("partitioned")


def exact_gelu(x: tf.Tensor) -> tf.Tensor:
    """GELU as in the first release."""
    return tf_keras.activations.gelu(x, approximate=False)


def inputs() -> dict[str, np.ndarray]:
    """Two rows, the second of them padded."""
    ids = np.array([[2, 5, 6, 3, 7, 13, 3], [2, 8, 4, 3, 0, 0, 0]])
    return {
        "input_word_ids": ids,
        "input_mask": np.array([[1] * 7, [1] * 4 + [0] * 3]),
        "input_type_ids": np.array([[0] * 4 + [1] * 3, [0] * 7]),
    }


def write_pretrainer() -> None:
    """The released model as the model garden's converter reads it, and what it computes."""
    encoder = networks.BertEncoder(
        vocab_size=WORDS,
        hidden_size=SIZE,
        num_layers=LAYERS,
        num_attention_heads=HEADS,
        inner_dim=INNER,
        max_sequence_length=POSITIONS,
        type_vocab_size=TYPES,
        inner_activation=exact_gelu,
        dict_outputs=True,
    )
    without_head = models.BertPretrainerV2(encoder, mlm_activation=exact_gelu)
    rows = inputs() | {"masked_lm_positions": np.array([[1, 4], [2, 0]])}
    without_head(rows)
    with tempfile.TemporaryDirectory() as folder:
        converter.convert(
            str(FOLDER / "released" / "bert_model.ckpt"),
            f"{folder}/ckpt",
            HEADS,
            converter.BERT_V2_NAME_REPLACEMENTS,
            converter.BERT_V2_PERMUTATIONS,
            ["adam"],
        )
        without_head.load_weights(f"{folder}/ckpt")
    assert (encoder.get_embedding_table().numpy() == value("bert/embeddings/word_embeddings", (WORDS, SIZE))).all()
    pooled = encoder(rows)["pooled_output"]
    head = layers.ClassificationHead(SIZE, num_classes=2, dropout_rate=0.0, name="next_sentence")
    model = models.BertPretrainerV2(encoder, mlm_activation=exact_gelu, classification_heads=[head])
    model(rows)
    model.masked_lm.set_weights(without_head.masked_lm.get_weights())
    # The pooler that is trained is the head's; the encoder's gets other numbers.
    dense = encoder.pooler_layer
    head.dense.set_weights(dense.get_weights())
    dense.set_weights([-one for one in dense.get_weights()])
    head.out_proj.set_weights(
        [value("cls/seq_relationship/output_weights", (2, SIZE)).T, value("cls/seq_relationship/output_bias", (2,))]
    )
    outputs = model(rows)
    optimizer = tf.keras.optimizers.legacy.Adam()
    some = model.trainable_variables[:3]
    optimizer.apply_gradients([(tf.zeros_like(one), one) for one in some])
    tf.train.Checkpoint(model=model, optimizer=optimizer).write(prefix("pretrainer"))
    np.savez_compressed(
        FOLDER / "outputs.npz",
        **rows,
        sequence=encoder(rows)["sequence_output"],
        pooled=pooled,
        masked_words=outputs["mlm_logits"],
        next_sentence=outputs["next_sentence"],
    )


def write_classifier() -> None:
    """A classifier of TF 2 with the newer encoder, whose numbers are by the names that Keras gives."""
    encoder = networks.BertEncoderV2(
        vocab_size=WORDS,
        hidden_size=SIZE,
        num_layers=LAYERS,
        num_attention_heads=HEADS,
        inner_dim=INNER,
        max_sequence_length=POSITIONS,
        type_vocab_size=TYPES,
        inner_activation=exact_gelu,
    )
    rows = inputs()
    encoder(rows)
    model = models.BertClassifier(encoder, num_classes=LABELS)
    for one in model.variables:
        one.assign(value(one.name, tuple(one.shape)))
    tf.train.Checkpoint(model=model).write(prefix("classifier"))
    with np.load(FOLDER / "outputs.npz") as file:
        arrays = dict(file)
    np.savez_compressed(FOLDER / "outputs.npz", **arrays, labels=model(rows))


if __name__ == "__main__":
    main()
