"""Folders that `transformers` wrote are read, and those written here are opened by it, with the same results."""

import dataclasses
import json

import numpy as np
import pytest

WHY = "the parity tests compare with PyTorch: pip install torch transformers"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

import bert_jax  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "down", "un", "##happy", ".", "##s", "dog"]
TEXTS = ["the cat sat down.", "unhappy cats", "the " * 20]
SHAPE = {"vocab_size": 16, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
SHAPE |= {"initializer_range": 0.3, "pad_token_id": 0}
DISTIL = {"vocab_size": 16, "dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 40, "max_position_embeddings": 40}
BERT = SHAPE | {"max_position_embeddings": 40}
# Positions begin behind that of padding, 1.
ROBERTA = SHAPE | {"max_position_embeddings": 42, "type_vocab_size": 1, "pad_token_id": 1}
MODELS = {
    "pretraining": (transformers.BertForPreTraining, transformers.BertConfig, BERT),
    "masked": (transformers.BertForMaskedLM, transformers.BertConfig, BERT),
    "roberta": (transformers.RobertaForMaskedLM, transformers.RobertaConfig, ROBERTA),
    "xlm": (transformers.XLMRobertaForMaskedLM, transformers.XLMRobertaConfig, ROBERTA),
    "distil": (transformers.DistilBertForMaskedLM, transformers.DistilBertConfig, DISTIL | {"initializer_range": 0.3}),
}


def released(folder, name, dtype="float32"):
    """A folder that `transformers` wrote, and its model."""
    kind, config, values = MODELS[name]
    torch.manual_seed(0)
    model = kind(config(**values)).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # nothing is left at zero
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size="8KB" if name == "pretraining" else "1GB")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return model.float()


def ids_of(bert, text):
    return [bert.tokenizer.cls_id, *bert.tokenizer.encode(text), bert.tokenizer.sep_id]


def hidden(model, ids):
    with torch.no_grad():
        output = model.base_model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)))
    return output.last_hidden_state[0].numpy()


def pseudo_log_likelihood(model, ids, mask_id):
    total = 0.0
    for i in range(1, len(ids) - 1):
        masked = torch.tensor([[*ids[:i], mask_id, *ids[i + 1 :]]])
        with torch.no_grad():
            output = model(input_ids=masked, attention_mask=torch.ones(1, len(ids)))
        logits = output.prediction_logits if hasattr(output, "prediction_logits") else output.logits
        total += float(torch.log_softmax(logits[0, i, : len(WORDS)], -1)[ids[i]])
    return total


@pytest.mark.parametrize("name", MODELS)
def test_released_folders_are_read(name, tmp_path):
    model = released(tmp_path, name)
    bert = bert_jax.load(tmp_path)
    assert bert.max_tokens == 40
    vectors, scores = bert.embed(TEXTS), bert.score(TEXTS)
    for text, vector, score in zip(TEXTS, vectors, scores, strict=True):
        ids = ids_of(bert, text)
        np.testing.assert_allclose(vector, hidden(model, ids).mean(0), atol=1e-5)
        assert score.total == pytest.approx(pseudo_log_likelihood(model, ids, bert.tokenizer.mask_id), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened_exactly(dtype, tmp_path):
    model = released(tmp_path, "masked", dtype)
    bert = bert_jax.load(tmp_path)
    table = model.bert.embeddings.word_embeddings.weight.detach().numpy()
    np.testing.assert_array_equal(np.asarray(bert.params["bert"]["embeddings"]["word"]), table)
    assert bert.config.dtype == "float32"
    np.testing.assert_allclose(bert.embed(TEXTS[0]), hidden(model, ids_of(bert, TEXTS[0])).mean(0), atol=1e-5)


def test_exported_folders_are_opened_by_name(tmp_path):
    released(tmp_path / "theirs", "pretraining")
    bert = bert_jax.load(tmp_path / "theirs")
    bert.save_huggingface(tmp_path / "ours")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    model, report = transformers.AutoModelForPreTraining.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values())
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == ids_of(bert, text)
        np.testing.assert_allclose(bert.embed(text), hidden(model.eval(), ids_of(bert, text)).mean(0), atol=1e-5)
    assert tokenizer.model_max_length == 40
    pair = tokenizer("the cat", "sat down.", return_tensors="pt")
    with torch.no_grad():
        logits = model(**pair).seq_relationship_logits[0]
    assert bert.next_sentence("the cat", "sat down.") == pytest.approx(float(logits.softmax(-1)[0]), rel=1e-5)
    fill = transformers.pipeline("fill-mask", model=str(tmp_path / "ours"), top_k=3)
    guesses = bert.fill_mask("the [MASK] sat down.", top=len(WORDS))[0]
    # Theirs may be one of the two rows without a word, and its probabilities are over those rows, too.
    theirs = [WORDS[one["token"]] for one in fill("the [MASK] sat down.") if one["token"] < len(WORDS)]
    assert [guess.word for guess in guesses][: len(theirs)] == theirs


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_a_folder_of_embeddings_says_what_sentence_transformers_computes(tmp_path, pooling):
    """Its modules, applied by hand to the padded batch of `transformers`, as sentence-transformers applies them."""
    released(tmp_path / "theirs", "pretraining")
    bert = dataclasses.replace(bert_jax.load(tmp_path / "theirs"), pooling=pooling, normalize=True)
    bert.save_huggingface(tmp_path / "ours", pooling)
    modules = json.loads((tmp_path / "ours" / "modules.json").read_text())
    assert [one["type"].rpartition(".")[2] for one in modules] == ["Transformer", "Pooling", "Normalize"]
    assert all((tmp_path / "ours" / one["path"]).is_dir() for one in modules)
    modes = json.loads((tmp_path / "ours" / "1_Pooling" / "config.json").read_text())
    assert [name for name, value in modes.items() if value is True] == [
        {"mean": "pooling_mode_mean_tokens", "max": "pooling_mode_max_tokens", "cls": "pooling_mode_cls_token"}[pooling]
    ]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    model = transformers.AutoModel.from_pretrained(tmp_path / "ours", add_pooling_layer=False).eval()
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    pooled = {
        "mean": (states * mask).sum(1) / mask.sum(1),
        "max": states.masked_fill(mask == 0, -torch.inf).max(1).values,
        "cls": states[:, 0],
    }[pooling]
    np.testing.assert_allclose(bert.embed(TEXTS), torch.nn.functional.normalize(pooled, dim=1).numpy(), atol=1e-5)
