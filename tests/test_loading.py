"""Models of other projects, opened from their folders."""

import dataclasses
import json
import pathlib
import re

import jax
import numpy as np
import pytest
from etils import epath

import bert_jax
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.errors import BertJaxError, CheckpointError, ConfigError
from bert_jax.interop.hugging_face import write_folder
from bert_jax.interop.safetensors import WEIGHTS, SafetensorsFile
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.labels import NUMBER, Labels
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.objectives.spans import Spans
from bert_jax.tasks.pretraining import pretrain
from tests.interop.rows import padded_batch, random_params
from tests.model import composites

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "down", "un", "##happy", "."]
CONFIG = ModelConfig(vocab_size=16, num_layers=2, hidden_size=12, num_heads=3, intermediate_size=20, max_positions=40)
PRETRAINING = (MaskedWords(), SentencePairs())
TEXTS = ["the cat sat down.", "", "unhappy cat", "the the the " * 5, "cat. [SEP] [MASK]"]


def write(folder, kind=composites.pretraining, settings=(), objectives=PRETRAINING):
    """A folder as of `transformers`, with random weights and four rows more than words."""
    params = random_params(kind(CONFIG, *settings), padded_batch(CONFIG, [12, 7], 12, 3))
    write_folder(folder, CONFIG, params, objectives, {"vocab.txt": "\n".join(WORDS).encode()})
    return folder


def edit(folder, name="config.json", **changes):
    values = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    (folder / name).write_text(json.dumps(values | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("released") / "model")


@pytest.fixture(scope="module")
def bert(folder):
    return bert_jax.load(folder)


def test_the_heads_are_those_that_are_there(folder, bert, tmp_path):
    assert [one.name for one in bert.objectives] == ["mlm", "nsp"]
    assert repr(bert) == f"Pretrained({folder}: 2 layers, width 12, 12 words, mlm, nsp)"
    assert (bert.task, bert.run, bert.step, bert.max_tokens) == ("", None, None, 40)
    labels = Labels(names=("bad", "good", "odd"))
    tagger = Labels(names=("O", "B-PER"), of_tokens=True)
    for name, kind, settings, objective in (
        ("label", composites.sequence, (3,), labels),
        ("tags", composites.tokens, (2,), tagger),
        ("span", composites.spans, (), Spans()),
    ):
        model = bert_jax.load(write(tmp_path / name, kind, settings, (objective,)))
        assert model.objectives == (objective,)
        with pytest.raises(CheckpointError, match="not trained to predict words"):
            model.fill_mask("the [MASK]")
    label = bert_jax.load(tmp_path / "label").classify(["the cat"])[0]
    assert label.name in labels.names
    assert sum(label.probabilities.values()) == pytest.approx(1)


def test_it_says_which_heads_are_not_there(tmp_path):
    files = {"vocab.txt": "\n".join(WORDS).encode()}
    params = random_params(*_with_batch())
    bare = {"bert": {name: value for name, value in params["bert"].items() if name != "pooler"}}
    for name, there, objectives, said in (
        ("all", params, PRETRAINING, "mlm, nsp)"),
        ("words", {**bare, "mlm": params["mlm"]}, (MaskedWords(),), "mlm (without nsp, pooler))"),
        ("pooler", {"bert": params["bert"]}, (), "no heads (without mlm, nsp))"),
        ("body", bare, (), "no heads (without mlm, nsp, pooler))"),
        # What reads the pooler is of no use without it.
        ("pairs", {**bare, "nsp": params["nsp"]}, (SentencePairs(),), "no heads (without mlm, nsp, pooler))"),
    ):
        write_folder(tmp_path / name, CONFIG, there, objectives, files)
        model = bert_jax.load(tmp_path / name)
        assert repr(model).endswith(f"12 words, {said}")
        if name != "all":
            with pytest.raises(CheckpointError, match=re.escape(f"12 words, {said}")):
                model.next_sentence("the cat", "sat")


def test_a_classifier_without_its_pooler_is_no_tagger(tmp_path):
    params = random_params(composites.sequence(CONFIG, 3), padded_batch(CONFIG, [12, 7], 12, 3))
    del params["bert"]["pooler"]
    files = {"vocab.txt": "\n".join(WORDS).encode()}
    write_folder(tmp_path, CONFIG, params, (Labels(names=("a", "b", "c")),), files)
    assert bert_jax.load(tmp_path).objectives == ()
    edit(tmp_path, architectures=None)  # as in Google's folders
    assert bert_jax.load(tmp_path).objectives[0].of_tokens


def test_questions_of_any_size_and_numbers(tmp_path):
    model = bert_jax.load(write(tmp_path / "choice", composites.choices, (), (Choices(),)))
    assert model.objectives == (Choices(),)
    questions, candidates = ["the cat", "unhappy"], [["sat", "down.", "the the"], ["cat"]]
    found = model.choose(questions, candidates)
    assert [len(one.probabilities) for one in found] == [3, 1]
    for question, several, one in zip(questions, candidates, found, strict=True):
        assert sum(one.probabilities) == pytest.approx(1)
        assert one.index == int(np.argmax(one.probabilities))
        alone = model.choose(question, several)
        np.testing.assert_allclose(alone.probabilities, one.probabilities, rtol=1e-5)
        turned = model.choose(question, several[::-1])
        np.testing.assert_allclose(turned.probabilities[::-1], one.probabilities, rtol=1e-5)
    assert model.choose([], []) == []
    with pytest.raises(ConfigError, match="The question 'unhappy' has no candidates"):
        model.choose(questions, [["sat"], []])
    with pytest.raises(CheckpointError, match=r"not trained to predict a number: .* choice"):
        model.regress(["the cat"])
    number = Labels(names=("warmth",), choose=NUMBER)
    model = bert_jax.load(write(tmp_path / "number", composites.sequence, (1,), (number,)))
    assert model.objectives == (number,)
    numbers = model.regress(TEXTS)
    assert numbers.shape == (len(TEXTS),)
    assert model.regress(TEXTS[2]) == pytest.approx(numbers[2], rel=1e-4)
    with pytest.raises(CheckpointError, match="not trained to choose among candidates"):
        model.choose(questions, candidates)
    with pytest.raises(CheckpointError, match="not trained to label texts"):
        model.classify(TEXTS)


def test_company_and_order_change_nothing(bert):
    for pooling in ("mean", "max", "cls", "pooler"):
        together = bert.embed([*TEXTS, *reversed(TEXTS)], pooling)
        assert together.shape == (10, 12)
        for i, text in enumerate(TEXTS):
            np.testing.assert_allclose(bert.embed(text, pooling), together[i], atol=2e-6)
            np.testing.assert_allclose(together[9 - i], together[i], atol=2e-6)
    unit = bert.embed(TEXTS, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(bert.embed(iter(TEXTS)), bert.embed(TEXTS))
    assert bert.embed([]).shape == (0, 12)
    scores = bert.score(TEXTS)
    for text, score in zip(TEXTS, scores, strict=True):
        assert bert.score(text).total == pytest.approx(score.total, abs=1e-4)
    assert scores[1] == bert_jax.pretrained.TextScore(0.0, 0)


def test_a_pair_has_two_types_and_both_orders_differ(bert):
    pairs = [("the cat", "sat down."), ("sat down.", "the cat")]
    first, second = bert.embed(pairs)
    assert abs(first - second).max() > 1e-3
    follows = bert.next_sentence(*zip(*pairs, strict=True))
    assert bert.next_sentence(*pairs[0]) == pytest.approx(follows[0], rel=1e-5)
    assert ((follows > 0) & (follows < 1)).all()


def test_a_score_is_the_sum_over_masked_words(bert):
    """Each word masked in turn, through `fill_mask`."""
    words = ["the", "cat", "sat", "down"]
    total = 0.0
    for i, word in enumerate(words):
        text = " ".join([*words[:i], "[MASK]", *words[i + 1 :]])
        (guesses,) = bert.fill_mask(text, top=100)
        assert len(guesses) == len(WORDS)  # rows of the table without a word are never guessed
        assert sum(guess.probability for guess in guesses) == pytest.approx(1, rel=1e-5)
        total += np.log(next(guess.probability for guess in guesses if guess.word == word))
    assert bert.fill_mask(["the [MASK]", "[MASK] sat"], top=1) == [
        bert.fill_mask("the [MASK]", top=1),
        bert.fill_mask("[MASK] sat", top=1),
    ]
    score = bert.score(" ".join(words))
    assert (score.total, score.num_tokens) == (pytest.approx(total, rel=1e-4), 4)
    assert score.per_token == pytest.approx(total / 4, rel=1e-4)


def test_encodings_have_no_padding_and_agree_with_embeddings(bert):
    found = bert.encode(TEXTS)
    vectors = bert.embed(TEXTS, "mean")
    for encoding, vector in zip(found, vectors, strict=True):
        n = len(encoding.pieces)
        assert encoding.pieces[0] == "[CLS]"
        assert encoding.pieces[-1] == "[SEP]"
        assert encoding.hidden_states.shape == (3, n, 12)
        assert encoding.attention_maps.shape == (2, 3, n, n)
        np.testing.assert_allclose(encoding.attention_maps.sum(-1), 1, rtol=1e-5)
        np.testing.assert_allclose(encoding.hidden_states[-1].mean(0), vector, atol=2e-6)
    assert "[MASK]" not in found[4].pieces  # typed in a text, it is plain characters


def test_the_limit_is_the_smallest_that_the_folder_states(folder, bert, tmp_path, caplog):
    short = write(tmp_path / "short")
    edit(short, "sentence_bert_config.json", max_seq_length=8)
    model = bert_jax.load(short)
    assert model.max_tokens == 8
    np.testing.assert_allclose(model.embed("the " * 30), bert.embed("the " * 6), atol=2e-6)
    assert "Texts with more than 8 tokens, whose ends are not used: 1 of 1." in caplog.text


def test_a_sentence_transformers_folder_says_how_to_pool(bert, tmp_path):
    root = tmp_path / "encoder"
    write(root / "0_Transformer")
    modules = [
        {"idx": 0, "type": "sentence_transformers.models.Transformer", "path": "0_Transformer"},
        {"idx": 1, "type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"idx": 2, "type": "sentence_transformers.models.Normalize", "path": "2_Normalize"},
    ]
    (root / "modules.json").write_text(json.dumps(modules))
    (root / "1_Pooling").mkdir()
    edit(root / "1_Pooling", pooling_mode_max_tokens=True, pooling_mode_mean_tokens=False, word_embedding_dimension=12)
    model = bert_jax.load(root)
    assert (model.pooling, model.normalize) == ("max", True)
    np.testing.assert_allclose(model.embed(TEXTS), bert.embed(TEXTS, "max", normalize=True), atol=2e-6)
    modules[1]["path"] = "../elsewhere"
    (root / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match=r"'\.\./elsewhere', which is not a folder inside"):
        bert_jax.load(root)


def test_a_missing_pooler_is_never_made_up(tmp_path):
    kept = {name: value for name, value in random_params(*_with_batch()).items() if name in ("bert", "mlm")}
    kept["bert"] = {name: value for name, value in kept["bert"].items() if name != "pooler"}
    files = {"vocab.txt": "\n".join(WORDS).encode()}
    write_folder(tmp_path / "mlm", CONFIG, kept, (MaskedWords(),), files)
    first, second = bert_jax.load(tmp_path / "mlm"), bert_jax.load(tmp_path / "mlm")
    np.testing.assert_array_equal(first.embed(TEXTS), second.embed(TEXTS))
    assert first.fill_mask("the [MASK]")
    with pytest.raises(CheckpointError, match="no pooler, and none is made up"):
        first.embed("the cat", "pooler")
    with pytest.raises(CheckpointError, match="not trained to predict the next sentence"):
        first.next_sentence("the cat", "sat")


def _with_batch():
    return composites.pretraining(CONFIG), padded_batch(CONFIG, [12, 7], 12, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "electra"}, "model_type='electra' is not supported"),
        ({"model_type": ["bert"]}, "is not supported"),
        ({"num_hidden_layers": 300_000}, "num_hidden_layers=300000: more than 1000"),
        ({"num_hidden_layers": 900}, "have 2 layers, but the config has num_hidden_layers=900"),
        ({"hidden_size": 3 * 10**15}, "^hidden_size=3000000000000000 must lie between"),
        ({"hidden_size": 24}, r"has the shape \[16, 12\] where the config asks for \[16, 24\]"),
        ({"vocab_size": 15}, r"has the shape \[16, 12\] where the config asks for \[15, 12\]"),
        ({"vocab_size": 11}, "12 pieces, but the weights have 11"),
        ({"hidden_size": 12.5}, "hidden_size='12.5'"),
        ({"hidden_size": True}, "hidden_size='True'"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map names Python code"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantization_config is set"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads"),
        ({"hidden_act": "x" * 100_000}, "hidden_act='xxx"),
        ({"hidden_act": "\x1b[2J"}, "hidden_act="),
    ],
)
def test_a_harmful_config_ends_in_a_sentence(changes, message, folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    values = json.loads((folder / "config.json").read_text()) | changes
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(BertJaxError, match=message) as caught:
        bert_jax.load(tmp_path)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", ["[]", "5", "", "{", "[" * 100_000, "version https://git-lfs.github.com/spec/v1"])
def test_a_config_that_is_none_is_refused(content, folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        bert_jax.load(tmp_path)


def test_optional_fields_may_be_null_or_absent(folder, bert, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    values = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    values = dict.fromkeys(values) | {
        name: values[name]
        for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                     "max_position_embeddings")
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(values | {"id2label": {"0": "a", "x": 3}}))
    assert bert_jax.load(tmp_path).config == dataclasses.replace(bert.config)


GOOGLE = pathlib.Path(__file__).parent / "golden" / "google"


def test_a_google_folder_is_opened_with_its_heads():
    model = bert_jax.load(GOOGLE / "released")
    assert [one.name for one in model.objectives] == ["mlm", "nsp"]
    assert model.embed(["a", "b"]).shape == (2, model.config.hidden_size)
    assert model.config.activation == "gelu"
    other = bert_jax.load(GOOGLE / "released", activation="gelu_tanh")
    assert other.config.activation == "gelu_tanh"
    difference = abs(other.embed("a") - model.embed("a")).max()
    assert 0 < difference < 1e-2


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="There is no folder"):
        bert_jax.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"is neither a run nor a released model: .* bert_config\.json\.$"):
        bert_jax.load(tmp_path)
    (tmp_path / "runs/mini/checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"runs is neither .* Did you mean .*/runs/mini\?"):
        bert_jax.load(tmp_path / "runs")
    with pytest.raises(CheckpointError, match=r"no folder .*/runs/mnii\. Did you mean mini\?"):
        bert_jax.load(tmp_path / "runs" / "mnii")
    with pytest.raises(ConfigError, match="dtype='half' is not one of float32, bfloat16"):
        bert_jax.load(tmp_path, dtype="half")


def test_what_is_exported_is_the_same_model(folder, bert, tmp_path):
    bert.save_huggingface(tmp_path / "exported")
    again = bert_jax.load(tmp_path / "exported")
    assert (again.config, again.max_tokens) == (bert.config, bert.max_tokens)
    assert [type(one) for one in again.objectives] == [type(one) for one in bert.objectives]
    jax.tree.map(np.testing.assert_array_equal, again.params, bert.params)
    for text in TEXTS:
        assert again.tokenizer.encode(text) == bert.tokenizer.encode(text)
    original, written = (SafetensorsFile(epath.Path(place) / WEIGHTS) for place in (folder, tmp_path / "exported"))
    assert original.infos == written.infos
    for name in original.infos:
        np.testing.assert_array_equal(original.read(name), written.read(name))
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "AutoModelForPreTraining" in card
    assert "12 pieces" in card


def test_a_sentence_encoder_is_written_and_read(bert, tmp_path):
    bert.save_huggingface(tmp_path / "encoder", sentence_pooling="max")
    model = bert_jax.load(tmp_path / "encoder")
    assert (model.pooling, model.max_tokens, model.objectives) == ("max", 40, ())
    np.testing.assert_array_equal(model.embed(TEXTS), bert.embed(TEXTS, "max"))
    with pytest.raises(ConfigError, match="sentence_pooling='pooler' is not one of mean, max, cls"):
        bert.save_huggingface(tmp_path / "other", sentence_pooling="pooler")


def test_what_the_format_cannot_express_is_refused(bert, tmp_path):
    pre = dataclasses.replace(bert, config=dataclasses.replace(CONFIG, norm_position="pre"))
    with pytest.raises(ConfigError, match=r"has no model\.norm_position=pre"):
        pre.save_huggingface(tmp_path / "pre")
    pooled = dataclasses.replace(bert, config=dataclasses.replace(CONFIG, pooling="mean"))
    with pytest.raises(ConfigError, match=r"The head 'nsp' .* no model\.pooling=mean"):
        pooled.save_huggingface(tmp_path / "pooled")
    assert not (tmp_path / "pre").exists()


def test_pretraining_goes_on_from_a_released_model(folder, bert, config, tmp_path):
    """Its parameters, shape and vocabulary; the corpus has that vocabulary."""
    text = "\n\n".join("\n".join(["the cat sat down.", "unhappy cat.", "the cat."] * 4) for _ in range(40))
    (tmp_path / "text.txt").write_text(text)
    prepare_corpus(
        f"text:{tmp_path}/text.txt", tmp_path / "corpus", tokenizer=str(folder), num_workers=1,
        validation_fraction=0.1, progress=lambda _: None, allow_lossy_text=True,
    )  # fmt: skip
    config.model = ModelConfig(dropout=0.0)
    config.data.corpus, config.data.sequence_length = str(tmp_path / "corpus"), 32
    config.train.init_from, config.train.num_steps, config.optimizer.learning_rate = str(folder), 1, 1e-12
    pretrain(config, tmp_path / "run")
    there = bert_jax.load(tmp_path / "run")
    assert there.config.hidden_size == CONFIG.hidden_size
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-9), there.params, bert.params)
    assert there.max_tokens == 32
    np.testing.assert_allclose(there.embed("the cat"), bert.embed("the cat"), atol=1e-5)
