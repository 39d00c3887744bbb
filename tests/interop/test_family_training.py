"""Runs that start from a folder of ModernBERT, and their export: pretraining that goes on, and a classifier."""

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.interop.hugging_face import write_folder
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.tasks.classification import Classification, ClassificationConfig
from bert_jax.tasks.pretraining import pretrain
from bert_jax.training.run import run
from tests.interop.family_configs import EUROBERT, MODERNBERT, changed
from tests.interop.test_families import WORDS, parameters

CONFIG = changed(MODERNBERT, vocab_size=16, num_layers=2, local_window=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released") / "modernbert"
    objectives = (MaskedWords(),)
    files = {"vocab.txt": "\n".join(WORDS).encode()}
    write_folder(folder, CONFIG, parameters(CONFIG, objectives), objectives, files, max_tokens=64)
    return folder


def same_after_export(model, folder):
    """Exported and opened again, a model has the same heads and parameters."""
    model.save_huggingface(folder)
    back = bert_jax.load(folder)
    assert [one.name for one in back.objectives] == [one.name for one in model.objectives]
    jax.tree.map(np.testing.assert_array_equal, back.params, model.params)
    assert back.max_tokens == model.max_tokens
    return back


def test_pretraining_goes_on_and_is_exported(folder, config, tmp_path):
    text = "\n\n".join("\n".join(["the cat sat down.", "unhappy cat.", "the cat."] * 4) for _ in range(40))
    (tmp_path / "text.txt").write_text(text)
    prepare_corpus(
        f"text:{tmp_path}/text.txt", tmp_path / "corpus", tokenizer=str(folder), num_workers=1,
        validation_fraction=0.1, progress=lambda _: None, allow_lossy_text=True,
    )  # fmt: skip
    config.model = ModelConfig(dropout=0.0, attention_dropout=0.0)
    config.data.corpus, config.data.sequence_length, config.data.examples = (
        str(tmp_path / "corpus"),
        96,
        "full_sentences",
    )
    config.train.init_from, config.train.num_steps, config.optimizer.learning_rate = str(folder), 1, 1e-12
    pretrain(config, tmp_path / "run")
    model = bert_jax.load(tmp_path / "run")
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-9), model.params, bert_jax.load(folder).params)
    assert model.max_tokens == 96  # more than the folder's: rotary positions do not end
    back = same_after_export(model, tmp_path / "exported")
    assert back.config == changed(CONFIG, max_positions=96)


def test_a_classifier_begins_with_its_own_transform_and_is_exported(folder, tmp_path):
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "the cat sat\tgood\nunhappy cat\tbad\n" * 20)
    config = ClassificationConfig()
    config.data.train = config.data.validation = str(tmp_path / "train.tsv")
    config.data.sequence_length, config.train.init_from = 32, str(folder)
    config.train.num_steps, config.train.batch_size, config.eval.every = 2, 4, 2
    run(Classification(), config, tmp_path / "run")
    model = bert_jax.load(tmp_path / "run")
    assert model.params["label"].keys() == {"transform", "norm", "dense"}
    assert "pooler" not in model.params["bert"]
    back = same_after_export(model, tmp_path / "exported")
    said = [list(label.probabilities.values()) for label in model.classify(["the cat", "unhappy"])]
    np.testing.assert_allclose([list(x.probabilities.values()) for x in back.classify(["the cat", "unhappy"])], said)


@pytest.mark.parametrize(
    ("model", "remark"),
    [
        (ModelConfig(pooling="mean"), "whose BERT has no model.pooling=mean; model.pooling=cls can be exported"),
        (changed(MODERNBERT, pooling="mean"), ""),
        (changed(MODERNBERT, pooling="max"), "whose ModernBERT has no model.pooling=max"),
        (EUROBERT, "whose EuroBERT has no such head"),
    ],
)
def test_a_run_says_before_it_starts_what_cannot_be_exported(model, remark):
    said = Classification().remarks(ClassificationConfig(model=model))
    assert len(said) == bool(remark)
    assert all(remark in line for line in said)
