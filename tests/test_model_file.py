"""Models without a run, written and opened again."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from etils import epath

import bert_jax
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.interop.hugging_face import write_folder
from bert_jax.interop.safetensors import WEIGHTS, SafetensorsFile
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.tasks.pretraining import pretrain
from bert_jax.tasks.starting_point import open_start, read_starting_point
from bert_jax.training.workdir.about import About
from bert_jax.training.workdir.folder import MODEL_FILE, Workdir
from tests.interop.rows import padded_batch, random_params
from tests.model import composites

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "down", "un", "##happy", "."]
CONFIG = ModelConfig(vocab_size=16, num_layers=2, hidden_size=12, num_heads=3, intermediate_size=20, max_positions=40)
TEXTS = ["the cat sat down.", "", "unhappy cat"]

PRETRAINING = (MaskedWords(), SentencePairs())


def released(folder, kind=composites.pretraining, settings=(), objectives=PRETRAINING):
    params = random_params(kind(CONFIG, *settings), padded_batch(CONFIG, [12, 7], 12, 3))
    write_folder(folder, CONFIG, params, objectives, {"vocab.txt": "\n".join(WORDS).encode()})
    return folder


def assert_same(left, right):
    for field in dataclasses.fields(left):
        if field.name not in ("source", "params", "tokenizer"):
            assert getattr(left, field.name) == getattr(right, field.name), field.name
    assert left.tokenizer.files() == right.tokenizer.files()
    jax.tree.map(np.testing.assert_array_equal, left.params, right.params)


def test_a_released_model_comes_back_bit_for_bit(tmp_path):
    folder = released(tmp_path / "released")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 9}))
    bert = dataclasses.replace(bert_jax.load(folder), pooling="max", normalize=True)
    bert.save_checkpoint(tmp_path / "own")
    again = bert_jax.load(tmp_path / "own")
    assert_same(again, bert)
    assert (again.max_tokens, again.step, again.pooling, again.normalize) == (9, None, "max", True)
    assert repr(again) == f"Pretrained({tmp_path / 'own'}: 2 layers, width 12, 12 words, mlm, nsp)"
    np.testing.assert_array_equal(again.embed(TEXTS), bert.embed(TEXTS))
    assert_same(bert_jax.load(tmp_path / "own" / "checkpoints" / "0"), bert)  # a checkpoint stands alone
    again.save_huggingface(tmp_path / "back")
    first, last = (SafetensorsFile(epath.Path(place) / WEIGHTS) for place in (folder, tmp_path / "back"))
    assert first.infos == last.infos
    for name in first.infos:
        np.testing.assert_array_equal(first.read(name), last.read(name))


def test_heads_with_settings_are_kept(tmp_path):
    for name, kind, settings, objective in (
        ("label", composites.sequence, (3,), Labels(names=("bad", "good", "odd"))),
        ("tags", composites.tokens, (2,), Labels(names=("O", "B-PER"), of_tokens=True)),
        ("choice", composites.choices, (), Choices()),
    ):
        bert = bert_jax.load(released(tmp_path / name, kind, settings, (objective,)))
        bert.save_checkpoint(tmp_path / f"own_{name}")
        assert bert_jax.load(tmp_path / f"own_{name}").objectives == (objective,)


def test_a_run_keeps_its_facts_and_heads_that_no_other_format_has(config, tmp_path):
    config.model.pooling, config.data.examples, config.data.nsp_group_size = "mean", "candidates", 4
    config.train.num_steps = 1
    pretrain(config, tmp_path / "run")
    run = bert_jax.load(tmp_path / "run")
    run.save_checkpoint(tmp_path / "own")
    assert_same(bert_jax.load(tmp_path / "own"), run)
    assert (tmp_path / "own" / "checkpoints" / "1").is_dir()
    assert (tmp_path / "own" / "tokenizer" / "vocab.txt").read_bytes() == run.tokenizer.files()["vocab.txt"]


def test_a_run_starts_from_it_as_from_the_original(config, tmp_path):
    config.train.num_steps = 1
    pretrain(config, tmp_path / "run")
    bert_jax.load(tmp_path / "run").save_checkpoint(tmp_path / "own")
    start = read_starting_point(tmp_path / "own")
    assert start.model == bert_jax.load(tmp_path / "run").config
    assert open_start(str(tmp_path / "own")).fingerprint == open_start(str(tmp_path / "run")).fingerprint
    config.model = ModelConfig()
    scores = []
    for origin in ("run", "own"):
        config.train.init_from = str(tmp_path / origin)
        scores.append(pretrain(config, tmp_path / f"from_{origin}")["eval/mlm_loss"])
    assert scores[0] == scores[1]


def test_no_run_goes_on_in_its_folder(config, tmp_path):
    bert_jax.load(released(tmp_path / "released")).save_checkpoint(tmp_path / "own")
    with pytest.raises(ConfigError, match=r"holds a model without a run: give it as train\.init_from"):
        pretrain(config, tmp_path / "own")
    assert Workdir(tmp_path / "own").latest_step() == 0


def test_what_is_there_is_not_overwritten(tmp_path):
    bert = bert_jax.load(released(tmp_path / "released"))
    with pytest.raises(ConfigError, match="is not an empty folder"):
        bert.save_checkpoint(tmp_path / "released")
    with pytest.raises(ConfigError, match=r"has '\[' in it"):
        bert.save_checkpoint(tmp_path / "a[1]")


def test_damage_is_named(tmp_path):
    bert_jax.load(released(tmp_path / "released")).save_checkpoint(tmp_path / "own")
    about = tmp_path / "own" / "checkpoints" / "0" / "about" / "metadata"
    values = json.loads(about.read_text())
    found = About.read(values)
    other = {MODEL_FILE: found.assets[MODEL_FILE].replace(b'"MaskedWords"', b'"Telepathy"')}
    about.write_text(json.dumps(values | {"assets": {name: text.decode() for name, text in other.items()}}))
    with pytest.raises(CheckpointError, match="about/metadata does not match its digest"):
        bert_jax.load(tmp_path / "own")
    about.write_text(json.dumps(dataclasses.replace(found, assets=found.assets | other).as_json()))
    with pytest.raises(CheckpointError, match="'Telepathy'"):
        bert_jax.load(tmp_path / "own")
    found.checksums["params/mlm/bias"] += 1
    about.write_text(json.dumps(found.as_json()))
    with pytest.raises(CheckpointError, match="does not match its checksums in params/mlm/bias"):
        bert_jax.load(tmp_path / "own")
