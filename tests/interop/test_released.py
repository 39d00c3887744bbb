"""Folders as others write them, and what readers of them got wrong."""

import dataclasses
import json
import pathlib

import jax
import ml_dtypes
import numpy as np
import pytest
from etils import epath

import bert_jax
from bert_jax.errors import ConfigError, TokenizerError
from bert_jax.interop.hugging_face import write_folder
from bert_jax.interop.safetensors import WEIGHTS, SafetensorsFile, write_safetensors
from bert_jax.interop.tensors import TensorInfo
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.learner import Learner
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.tasks.starting_point import open_start
from bert_jax.tokenization import from_files
from bert_jax.training.config import TrainConfig
from bert_jax.training.workdir.warm_start import WarmStart
from tests.interop.rows import padded_batch, random_params
from tests.model import composites
from tests.test_loading import CONFIG, PRETRAINING, TEXTS, WORDS, edit, write

GOOGLE = pathlib.Path(__file__).parents[1] / "golden" / "google"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("released") / "model")


@pytest.fixture(scope="module")
def bert(folder):
    return bert_jax.load(folder)


def copy(folder, to):
    to.mkdir(exist_ok=True)
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def rewrite(folder, change):
    """Changes the tensors of a folder by name."""
    file = SafetensorsFile(epath.Path(folder) / WEIGHTS)
    tensors = {name: change(name, file.read(name)) for name in file.infos}
    infos = {name: TensorInfo(array.shape, array.dtype) for name, array in tensors.items()}
    write_safetensors(epath.Path(folder) / WEIGHTS, infos, [lambda array=array: array for array in tensors.values()])
    return tensors


def test_index_0_means_that_the_second_sentence_follows(folder, tmp_path):
    def change(name, value):
        if name == "cls.seq_relationship.bias":
            return np.array([2, -1], np.float32)
        return value * 0 if name == "cls.seq_relationship.weight" else value

    rewrite(copy(folder, tmp_path), change)
    assert bert_jax.load(tmp_path).next_sentence("the cat", "sat") == pytest.approx(0.952574, abs=1e-6)


def test_masks_in_a_text(bert):
    """Each has its guesses, next to letters too; only its exact spelling is one."""
    for text, masks in (("the [MASK] [MASK] .", 2), ("sat[MASK]down", 1)):
        found = bert.fill_mask(text, top=len(WORDS) + 5)
        assert len(found) == masks
        assert all(len(guesses) == len(WORDS) for guesses in found)
    for text in ("the cat", "the [mask]"):
        with pytest.raises(TokenizerError, match=r"no \[MASK\]"):
            bert.fill_mask(text)
    pieces = ["[CLS]", "sat", "[MASK]", "down", "[SEP]"]
    ids = bert.tokenizer.encode_masked("sat[MASK]down")
    assert [bert.tokenizer.vocabulary[i] for i in ids] == pieces[1:-1]


def test_padding_is_known_by_its_place_not_by_its_id(folder, bert, tmp_path):
    """With [UNK] at 0, an unknown word is a token, and what fills a row is none."""
    copy(folder, tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(["[UNK]", "[PAD]", *WORDS[2:]]))

    def change(name, value):
        return value[[1, 0, *range(2, len(value))]] if name.endswith("word_embeddings.weight") else value

    rewrite(tmp_path, change)
    other, texts = bert_jax.load(tmp_path), ["the zzzz cat", "the zzzz cat sat down the cat sat down", "zzzz"]
    assert other.tokenizer.encode("zzzz") == [0]
    assert other.tokenizer.pad_id == 1
    found = other.embed(texts)
    np.testing.assert_allclose(found, bert.embed(texts), atol=2e-6)
    for text, vector in zip(texts, found, strict=True):
        np.testing.assert_allclose(other.embed(text), vector, atol=2e-6)
    assert abs(other.embed("the zzzz cat") - other.embed("the cat")).max() > 1e-3


def test_a_model_of_one_type_takes_pairs(tmp_path):
    config = dataclasses.replace(CONFIG, num_token_types=1)
    params = random_params(composites.pretraining(config), padded_batch(config, [12, 7], 12, 3))
    write_folder(tmp_path, config, params, PRETRAINING, {"vocab.txt": "\n".join(WORDS).encode()})
    model = bert_jax.load(tmp_path)
    assert model.config.num_token_types == 1
    assert 0 < model.next_sentence("the cat", "sat down.") < 1
    assert model.encode([("the", "cat")])[0].pieces == ("[CLS]", "the", "[SEP]", "cat", "[SEP]")


def test_code_beside_a_model_is_never_imported(folder, bert, tmp_path):
    copy(folder, tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'MARK')!r}, 'w')")
    edit(tmp_path, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]})
    edit(tmp_path, trust_remote_code=True, custom_pipelines={"x": {"impl": "evil.P"}})
    jax.tree.map(np.testing.assert_array_equal, bert_jax.load(tmp_path).params, bert.params)
    edit(tmp_path, auto_map={"AutoModel": "evil.Model"})
    with pytest.raises(ConfigError, match="auto_map names Python code"):
        bert_jax.load(tmp_path)
    edit(tmp_path, auto_map=None)
    edit(tmp_path, "tokenizer_config.json", tokenizer_class="evil.T")
    with pytest.raises(TokenizerError, match=r"of the class 'evil\.T', which reads vocab\.txt in a way of its own"):
        bert_jax.load(tmp_path)
    assert not (tmp_path / "MARK").exists()


def test_a_mix_of_dtypes_is_widened_exactly(folder, tmp_path):
    dtypes = (np.float16, ml_dtypes.bfloat16, np.float32)
    there = rewrite(copy(folder, tmp_path), lambda name, value: value.astype(dtypes[len(name) % 3]))
    edit(tmp_path, torch_dtype="float16", dtype="float16")
    assert {array.dtype for array in there.values()} == {np.dtype(dtype) for dtype in dtypes}
    model = bert_jax.load(tmp_path)
    assert model.config.dtype == "float32"
    assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {np.dtype(np.float32)}
    model.save_huggingface(tmp_path / "again")
    again = SafetensorsFile(epath.Path(tmp_path) / "again" / WEIGHTS)
    for name, array in there.items():
        np.testing.assert_array_equal(again.read(name), array.astype(np.float32), err_msg=name)


def test_fine_tuning_says_that_the_pooler_is_new(tmp_path):
    params = random_params(composites.pretraining(CONFIG), padded_batch(CONFIG, [12, 7], 12, 3))
    del params["bert"]["pooler"], params["nsp"]
    write_folder(tmp_path, CONFIG, params, (MaskedWords(),), {"vocab.txt": "\n".join(WORDS).encode()})
    learner = Learner(CONFIG, (Labels(names=("bad", "good")),))
    shapes = jax.eval_shape(lambda: random_params(learner.model, padded_batch(CONFIG, [12, 7], 12, 3)))
    start = WarmStart.plan(TrainConfig(init_from=str(tmp_path)), shapes, open_start)
    assert start.describe()[1] == "             new, at random: bert/pooler/dense (2 arrays), label/dense (2 arrays)"


def test_the_case_of_a_bare_vocabulary_is_written_down(tmp_path):
    words = [*WORDS[:5], "Hel", "##lo", "hel", "World", "world", "été", "ete"]
    tokenizer = from_files({"vocab.txt": "\n".join(words).encode()})
    params = random_params(composites.pretraining(CONFIG), padded_batch(CONFIG, [12, 7], 12, 3))
    write_folder(tmp_path / "theirs", CONFIG, params, PRETRAINING, {"vocab.txt": "\n".join(words).encode()})
    bert_jax.load(tmp_path / "theirs").save_huggingface(tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "tokenizer_config.json").read_text())["do_lower_case"] is False
    for one in (tokenizer, bert_jax.load(tmp_path / "ours").tokenizer):
        assert [words[i] for i in one.encode("Hello World été")] == ["Hel", "##lo", "World", "été"]


def test_googles_folder_and_its_conversion_say_the_same(tmp_path):
    model = bert_jax.load(GOOGLE / "released")
    model.save_huggingface(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["hidden_act"] == "gelu"  # with the error function
    again = bert_jax.load(tmp_path)
    assert [type(one) for one in again.objectives] == [MaskedWords, SentencePairs]
    np.testing.assert_array_equal(again.embed(TEXTS, "pooler"), model.embed(TEXTS, "pooler"))


@pytest.mark.parametrize("name", ["fine_tuned", "classifier"])
def test_a_bare_head_of_google_labels_texts(name, tmp_path):
    copy(GOOGLE / name, tmp_path)
    (tmp_path / "vocab.txt").write_bytes((GOOGLE / "released" / "vocab.txt").read_bytes())
    model = bert_jax.load(tmp_path)
    (objective,) = model.objectives
    assert objective == Labels(names=tuple(f"LABEL_{i}" for i in range(len(objective.names))))
    assert model.params["label"]["dense"]["kernel"].shape == (model.config.hidden_size, 3)
