"""Parameter trees, and what changed between two."""

import dataclasses
import math
import os
import pathlib
import subprocess
import sys

import flax.traverse_util
import fsspec
import numpy as np
import pytest
from etils import epath
from etils.epath import backend

import bert_jax
from bert_jax.errors import CheckpointError
from bert_jax.inspection.differences import compare_parameters
from bert_jax.inspection.parameter_tables import difference_lines, tree_lines
from bert_jax.inspection.parameters import Parameters, open_parameters, parameter_tree
from bert_jax.interop.hugging_face import write_folder
from bert_jax.interop.safetensors import WEIGHTS, SafetensorsFile, write_safetensors
from bert_jax.interop.tensors import TensorInfo
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from tests.interop.rows import padded_batch, random_params
from tests.model import composites
from tests.test_lock import Bucket

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "down", "un", "##happy", "."]
CONFIG = ModelConfig(vocab_size=16, num_layers=11, hidden_size=12, num_heads=3, intermediate_size=20, max_positions=40)
GOOGLE = pathlib.Path(__file__).parents[1] / "golden" / "google" / "released"
SHARDED = """
import sys, jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from bert_jax.training.state import TrainState
from bert_jax.training.workdir.checkpoints import Checkpoints, Preserved
from bert_jax.training.workdir.checksums import checksums
mesh = jax.make_mesh((8,), ("fsdp",))
word = jnp.arange(64.0).reshape(16, 4)
params = {"bert": {"embeddings": {"word": jax.device_put(word, NamedSharding(mesh, PartitionSpec("fsdp")))}}}
checkpoints = Checkpoints(sys.argv[1], Preserved(1), {})
state = TrainState(jnp.int32(5), params, (), jnp.uint32(0))
checkpoints.save(5, state, checksums(state))
checkpoints.close()
"""


def parameters(arrays, source="one"):
    shapes, dtypes = ({k: getattr(v, of) for k, v in arrays.items()} for of in ("shape", "dtype"))
    return Parameters(source, None, shapes, dtypes, lambda names: {name: arrays[name] for name in names})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as of `transformers`, with random weights."""
    folder = tmp_path_factory.mktemp("released") / "model"
    params = random_params(composites.pretraining(CONFIG), padded_batch(CONFIG, [12, 7], 12, 3))
    objectives = (MaskedWords(), SentencePairs())
    write_folder(folder, CONFIG, params, objectives, {"vocab.txt": "\n".join(WORDS).encode()})
    return folder


def test_every_kind_of_folder_has_the_tree_that_load_has(folder, tmp_path):
    bert_jax.load(folder).save_checkpoint(tmp_path / "own")
    for path in (folder, tmp_path / "own", tmp_path / "own" / "checkpoints" / "0", GOOGLE):
        bert = bert_jax.load(path)
        arrays = flax.traverse_util.flatten_dict(bert.params, sep="/")
        for model in (path, bert):
            tree = parameter_tree(open_parameters(model))
            assert {one.name: one.shape for one in tree.arrays} == {name: x.shape for name, x in arrays.items()}
            assert tree.size == sum(x.size for x in arrays.values())
            for one in tree.arrays:
                array = np.asarray(arrays[one.name], np.float64)
                np.testing.assert_allclose(one.norm, np.linalg.norm(array), rtol=1e-12)
                np.testing.assert_allclose(one.rms, np.sqrt((array**2).mean()), rtol=1e-12)
                assert one.largest == np.abs(array).max()
    assert open_parameters(tmp_path / "own").step is None
    with pytest.raises(CheckpointError, match="is not a run, so it has no step 3"):
        open_parameters(folder, 3)


def test_a_folder_may_be_in_a_bucket(folder, monkeypatch):
    bucket = Bucket(str(folder.parent), fsspec.filesystem("file"))
    monkeypatch.setattr(backend.fsspec_backend, "fs", lambda path: bucket)
    tree = parameter_tree(open_parameters(f"gs://{folder.name}"))
    assert tree.arrays == parameter_tree(open_parameters(folder)).arrays
    assert tree_lines(tree)[0].startswith("gs://model: ")


def test_the_table_has_the_model_in_its_order_with_totals(folder):
    tree = parameter_tree(open_parameters(folder))
    lines = tree_lines(tree)
    assert lines[0].startswith(f"{folder}: {tree.size:,} parameters in {len(tree.arrays)} arrays of float32, ")
    groups = [line.split("  ")[0] for line in lines[3:] if not line.startswith("  ")]
    layers = [f"bert/encoder/layer_{layer}" for layer in range(11)]  # 2 before 10
    assert groups == ["bert/embeddings", *layers, "bert/pooler", "mlm", "nsp", "total"]
    (word,) = (line for line in lines if line.startswith("  word "))
    norm = np.linalg.norm(np.asarray(bert_jax.load(folder).params["bert"]["embeddings"]["word"]))
    assert word.split()[1:6] == ["16", "×", "12", "float32", "192"]
    assert word.split()[8] == f"{norm:.4g}"
    numbers = {one: [int(line.split()[1].replace(",", "")) for line in lines if line.startswith(one)] for one in groups}
    assert sum(sum(found) for name, found in numbers.items() if name != "total") >= numbers["total"][0] == tree.size


def test_the_dtype_is_that_of_the_file_and_numbers_that_are_not_finite_are_named(folder, tmp_path):
    file = SafetensorsFile(epath.Path(folder) / WEIGHTS)
    for other in folder.iterdir():
        if other.name != WEIGHTS:
            (tmp_path / other.name).write_bytes(other.read_bytes())
    infos = {name: TensorInfo(info.shape, np.dtype(np.float16)) for name, info in file.infos.items()}
    makers = [lambda name=name: file.read(name).astype(np.float16) for name in infos]
    write_safetensors(epath.Path(tmp_path) / WEIGHTS, infos, makers)
    tree = parameter_tree(open_parameters(tmp_path))
    assert {one.dtype for one in tree.arrays} == {np.dtype(np.float16)}
    assert sum(one.num_bytes for one in tree.arrays) == 2 * tree.size
    bad = parameters({"mlm/bias": np.array([1, np.nan], np.float32), "nsp/bias": np.ones(2, np.float32)})
    lines = tree_lines(parameter_tree(bad))
    assert lines[-1] == "not finite: mlm/bias"
    assert [line.split()[-1] for line in lines[3:-2]] == ["nan", "nan", "1", "1", "nan"]  # groups, arrays, the total
    (change,) = compare_parameters(parameters({"x": np.ones(2)}), parameters({"x": np.array([1, np.nan])})).changes
    assert math.isnan(change.cosine)
    assert math.isnan(dataclasses.replace(change, before=1.0, after=math.inf, product=math.inf).cosine)


def test_a_sharded_checkpoint_is_opened_without_its_mesh(tmp_path):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SHARDED, tmp_path / "checkpoints"], env=environment, check=True)
    for path, step in ((tmp_path, None), (tmp_path, 5), (tmp_path / "checkpoints" / "5", None)):
        opened = open_parameters(path, step)
        (one,) = parameter_tree(opened).arrays
        assert (opened.step, one.name, one.shape) == (5, "bert/embeddings/word", (16, 4))
        assert one.norm == pytest.approx(np.linalg.norm(np.arange(64.0)))


def test_no_more_is_in_memory_than_the_largest_array_takes():
    sizes = {"a": 10, "b": 3, "c": 4, "d": 4, "e": 10, "f": 1}
    asked = []

    def read(names):
        asked.append(list(names))
        return {name: np.full(sizes[name], 2.0, np.float32) for name in reversed(names)}

    shapes = {name: (size,) for name, size in sizes.items()}
    model = Parameters("one", None, shapes, dict.fromkeys(sizes, np.dtype(np.float32)), read)
    assert [one.name for one in parameter_tree(model).arrays] == list(sizes)
    assert asked == [["a"], ["b", "c"], ["d"], ["e"], ["f"]]
    asked.clear()
    assert not any(one.difference for one in compare_parameters(model, model).changes)
    assert asked == [portion for portion in (["a"], ["b", "c"], ["d"], ["e"], ["f"]) for _ in range(2)]


def test_changes_are_in_order_and_those_that_cannot_be_compared_are_named():
    first = {"bert/encoder/layer_0/a": [3.0, 4.0], "bert/encoder/layer_0/b": [1.0, 0.0], "mlm/bias": [0.0, 0.0]}
    second = {"bert/encoder/layer_0/a": [3.0, 4.5], "bert/encoder/layer_0/b": [0.0, 1.0], "mlm/bias": [0.0, 2.0]}
    first |= {"nsp/bias": [1.0, 1.0], "bert/embeddings/word": [1.0], "bert/pooler/bias": [5.0]}
    second |= {"label/bias": [1.0, 1.0], "bert/embeddings/word": [1.0, 2.0], "bert/pooler/bias": [5.0]}
    models = [parameters({k: np.array(v, np.float32) for k, v in one.items()}) for one in (first, second)]
    found = compare_parameters(*models)
    assert [one.name.rpartition("/")[0] for one in found.changes] == [
        "mlm",
        *["bert/encoder/layer_0"] * 2,
        "bert/pooler",
    ]
    assert [one.relative for one in found.changes] == pytest.approx([math.inf, math.sqrt(2), 0.1, 0])
    assert found.changes[1].cosine == pytest.approx(0)
    assert found.changes[2].cosine == pytest.approx((9 + 18) / 5 / math.hypot(3, 4.5))
    assert math.isnan(found.changes[0].cosine)
    layer = found.groups[1]
    assert (layer.name, layer.size) == ("bert/encoder/layer_0", 4)
    assert layer.relative == pytest.approx(math.sqrt((2 + 0.25) / 26))
    assert (found.only_first, found.only_second) == (("nsp/bias",), ("label/bias",))
    assert found.shapes == (("bert/embeddings/word", (1,), (2,)),)
    text = "\n".join(difference_lines(found, "one", "two"))
    for said in (
        "from one\nto   two\n",
        "from 0",
        "equal: 1 of 4 arrays",
        "only in one: 1 arrays\n  nsp/bias",
        "only in two: 1 arrays\n  label/bias",
        "of another shape: 1 arrays\n  bert/embeddings/word  1  to  2",
    ):
        assert said in text
    same = difference_lines(compare_parameters(models[0], models[0]), "one", "one")
    assert same == ["from one", "to   one", "", "equal: 6 of 6 arrays"]


def test_a_number_that_is_not_finite_comes_first():
    one = {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    other = {"a": 2 * np.ones(2, np.float32), "b": np.array([1, np.nan], np.float32)}
    found = compare_parameters(parameters(one), parameters(other))
    assert [change.name for change in found.changes] == ["b", "a"]
    assert dataclasses.asdict(found.changes[1])["difference"] == pytest.approx(math.sqrt(2))
