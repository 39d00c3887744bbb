"""Every head of ModernBERT, NomicBERT and EuroBERT, between our folders and those of `transformers`."""

import dataclasses

import jax
import numpy as np
import pytest

WHY = "the parity tests compare with PyTorch: pip install torch transformers"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

import bert_jax  # noqa: E402
from bert_jax.interop.hugging_face import architecture  # noqa: E402
from bert_jax.objectives.learner import Learner  # noqa: E402
from bert_jax.pretrained import Pretrained  # noqa: E402
from bert_jax.tokenization import from_files  # noqa: E402
from tests.interop.family_configs import EUROBERT, MODERNBERT, NOMIC_BERT, changed  # noqa: E402
from tests.interop.rows import padded_batch, random_params  # noqa: E402
from tests.interop.test_head_parity import HEADS, TEXTS, VOCABULARY, WORDS, close, compare  # noqa: E402

# Texts are longer than the window.
SMALL = {"vocab_size": len(WORDS), "num_layers": 2}
CONFIGS = {
    "modernbert": changed(MODERNBERT, **SMALL, local_window=4),
    "modernbert, mean": changed(
        MODERNBERT, **SMALL, local_window=4, pooling="mean", head_bias=True, norm_bias=True, tied_output=False
    ),
    "nomic_bert": changed(NOMIC_BERT, **SMALL),
    "eurobert": changed(EUROBERT, **SMALL),
    "eurobert, tied": changed(EUROBERT, **SMALL, tied_output=True),
}
CASES = [
    *(("modernbert", head) for head in ("one", "tags", "spans", "choice", "words")),
    *(("modernbert, mean", head) for head in ("several", "number", "choice", "words")),
    *(("nomic_bert", head) for head in ("one", "number", "tags", "words")),
    *(("eurobert", head) for head in ("tags", "words")),
    ("eurobert, tied", "words"),  # a head without parameters
]


def ours(config, objectives) -> Pretrained:
    params = random_params(Learner(config, objectives).model, padded_batch(config, [12, 7], 12, 3))
    return Pretrained("here", config, objectives, params, from_files(VOCABULARY), 32)


@pytest.mark.parametrize(("family", "head"), CASES)
def test_a_head_says_the_same_both_ways(family, head, tmp_path):
    config, objectives = CONFIGS[family], HEADS[head]
    bert = ours(config, objectives)
    bert.save_huggingface(tmp_path / "ours")
    kind = architecture(config, objectives)
    opens = getattr(transformers, "AutoModel" + kind[kind.find("For") :])
    model, report = opens.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert type(model).__name__ == kind
    assert not any(report.values())
    assert f"{opens.__name__}.from_pretrained" in (tmp_path / "ours" / "README.md").read_text()
    compare(bert, model.eval())

    model.save_pretrained(tmp_path / "theirs")
    for name, content in VOCABULARY.items():
        (tmp_path / "theirs" / name).write_bytes(content)
    for folder in ("ours", "theirs"):
        back = bert_jax.load(tmp_path / folder)
        assert back.objectives == objectives
        assert jax.tree.structure(back.params) == jax.tree.structure(bert.params)
        jax.tree.map(np.testing.assert_array_equal, back.params, bert.params)
        assert dataclasses.replace(back.config, max_positions=512) == config
        assert back.max_tokens == 32  # what it was said to take


def test_tokenizers_and_pipelines_know_that_there_are_no_types(tmp_path):
    bert = ours(CONFIGS["modernbert"], HEADS["words"])
    bert.save_huggingface(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("the cat", "sat").keys() == {"input_ids", "attention_mask"}
    assert tokenizer.model_max_length == 32
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    assert (config.pad_token_id, config.cls_token_id, config.sep_token_id) == (0, 2, 3)
    fill = transformers.pipeline("fill-mask", model=str(tmp_path), top_k=3)
    guesses = bert.fill_mask("the [MASK] sat down.", top=3)[0]
    assert [guess.word for guess in guesses] == [WORDS[one["token"]] for one in fill("the [MASK] sat down.")]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_padded_rows_of_our_export_have_numbers(attention, tmp_path):
    """Padding is longer than the window, so some of its tokens have nothing to attend to."""
    bert = ours(CONFIGS["modernbert"], ())
    bert.save_huggingface(tmp_path)
    model = transformers.AutoModel.from_pretrained(tmp_path, attn_implementation=attention).eval()
    ids = [bert.tokenizer.cls_id, *bert.tokenizer.encode(TEXTS[0]), bert.tokenizer.sep_id]
    inputs = torch.zeros(2, 30, dtype=torch.long)
    mask = torch.zeros(2, 30, dtype=torch.long)
    inputs[0, : len(ids)], mask[0, : len(ids)] = torch.tensor(ids), 1
    inputs[1], mask[1] = 5, 1
    with torch.no_grad():
        states = model(input_ids=inputs, attention_mask=mask).last_hidden_state
    assert torch.isfinite(states).all()
    close(bert.embed(TEXTS[0]), states[0, : len(ids)].mean(0))


def test_names_of_their_classes_are_read_too(tmp_path):
    """NomicBERT's classes have other names than the files that they write."""
    bert = ours(CONFIGS["nomic_bert"], HEADS["one"])
    bert.save_huggingface(tmp_path / "ours")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours")
    model.save_pretrained(tmp_path / "theirs", save_original_format=False)
    for name, content in VOCABULARY.items():
        (tmp_path / "theirs" / name).write_bytes(content)
    back = bert_jax.load(tmp_path / "theirs")
    jax.tree.map(np.testing.assert_array_equal, back.params, bert.params)


@pytest.mark.parametrize("pooling", ["bos", "mean", "late"])
def test_texts_classified_by_eurobert_are_refused(pooling, tmp_path):
    bert = ours(CONFIGS["eurobert"], ())
    bert.save_huggingface(tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path, classifier_pooling=pooling)
    transformers.EuroBertForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(bert_jax.errors.CheckpointError, match=r"'dense\.weight': models with EuroBERT's classifier"):
        bert_jax.load(tmp_path)
