"""Every head, between our folders and those of `transformers`: the same tensors, outputs and names of labels."""

import dataclasses
import json

import numpy as np
import pytest

WHY = "the parity tests compare with PyTorch: pip install torch transformers"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

import bert_jax  # noqa: E402
from bert_jax.data.texts import encode, packed_batches  # noqa: E402
from bert_jax.errors import ConfigError  # noqa: E402
from bert_jax.interop.hugging_face import architecture  # noqa: E402
from bert_jax.interop.hugging_face_config import write_config  # noqa: E402
from bert_jax.model.config import ModelConfig  # noqa: E402
from bert_jax.objectives.choices import Choices  # noqa: E402
from bert_jax.objectives.labels import NUMBER, ONE, SEVERAL, Labels  # noqa: E402
from bert_jax.objectives.learner import Learner  # noqa: E402
from bert_jax.objectives.masked_words import MaskedWords  # noqa: E402
from bert_jax.objectives.sentence_pairs import SentencePairs  # noqa: E402
from bert_jax.objectives.spans import Spans  # noqa: E402
from bert_jax.pretrained import Pretrained  # noqa: E402
from bert_jax.tokenization import from_files  # noqa: E402
from tests.interop.rows import padded_batch, random_params  # noqa: E402

TOLERANCE = 1e-5  # of the largest number
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "down", "un", "##happy", ".", "##s", "dog"]
VOCABULARY = {"vocab.txt": "\n".join(WORDS).encode(), "tokenizer_config.json": b'{"do_lower_case": true}'}
CONFIG = ModelConfig(
    vocab_size=len(WORDS), num_layers=1, hidden_size=16, num_heads=2, intermediate_size=24, max_positions=32
)
BATCH = padded_batch(CONFIG, [12, 7], 12, 3)
PAIRS = [("the cat sat down.", "unhappy dogs"), ("cats", "the dog sat."), ("the", "the cat.")]
TEXTS = [first for first, _ in PAIRS]
QUESTION, CANDIDATES = "the cat sat", ["down.", "unhappy dogs", "the"]
NAMES = ("bad", "no opinion", "good")
HEADS = {
    "nothing": (),
    "one": (Labels(names=NAMES),),
    "several": (Labels(names=NAMES, choose=SEVERAL),),
    "number": (Labels(names=("warmth",), choose=NUMBER),),
    "tags": (Labels(names=("O", "B-CAT", "I-CAT"), of_tokens=True),),
    "spans": (Spans(),),
    "choice": (Choices(),),
    "words": (MaskedWords(),),
    "sentences": (SentencePairs(),),
    "pretraining": (MaskedWords(), SentencePairs()),
}


def ours(objectives):
    """A model of ours with these heads and random parameters; without heads, it has a pooler."""
    params = random_params(Learner(CONFIG, objectives or (SentencePairs(),)).model, BATCH)
    if not objectives:
        del params["nsp"]
    return Pretrained("here", CONFIG, objectives, params, from_files(VOCABULARY), CONFIG.max_positions)


def theirs(folder, objectives, **settings):
    """A folder that `transformers` wrote, and its model."""
    labels = [one for one in objectives if isinstance(one, Labels)]
    if labels:
        settings = {"id2label": dict(enumerate(labels[0].names))} | settings
    kinds = {ONE: "single_label_classification", SEVERAL: "multi_label_classification", NUMBER: "regression"}
    for one in labels:
        settings = {"problem_type": kinds[one.choose]} | settings
    torch.manual_seed(0)
    config = transformers.BertConfig(**write_config(CONFIG) | {"initializer_range": 0.3} | settings)
    model = getattr(transformers, architecture(CONFIG, objectives))(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)  # nothing is left at zero
    model.save_pretrained(folder)
    for name, content in VOCABULARY.items():
        (folder / name).write_bytes(content)
    return model


def run(bert, model, *texts):
    """Their output for a text or pair, or for several as the candidates of one question."""
    tokenizer, rows = bert.tokenizer, []
    for first, second in texts:
        a = [tokenizer.cls_id, *tokenizer.encode(first), tokenizer.sep_id]
        b = [*tokenizer.encode(second), tokenizer.sep_id] if second else []
        rows.append((a + b, [0] * len(a) + [1] * len(b)))
    width = max(len(ids) for ids, _ in rows)
    names = ("input_ids", "token_type_ids", "attention_mask")
    columns = zip(*(((ids, types, [1] * len(ids))) for ids, types in rows), strict=True)
    inputs = {
        name: torch.tensor([row + [0] * (width - len(row)) for row in rows])
        for name, rows in zip(names, columns, strict=True)
    }
    if getattr(model.config, "type_vocab_size", 0) < 2:
        del inputs["token_type_ids"]
    with torch.no_grad():
        return model(**inputs if len(texts) == 1 else {name: value[None] for name, value in inputs.items()})


def close(found, expected):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def by_text(bert, pairs):
    """For each pair, what our head says, the slot of the example, and its tokens in the row."""
    for packed in packed_batches(encode(pairs, bert.tokenizer, bert.max_tokens), bert.tokenizer, 4096):
        (output,) = bert.model.apply({"params": bert.params}, packed.batch).values()
        for row, slot in zip(packed.row, packed.slot, strict=True):
            yield output, row, slot, packed.batch["example_ids"][row] == slot + 1


def compare(bert, model):
    """Each way in which the heads of a model of ours can be used, and the same from theirs."""
    if not bert.objectives:
        close(bert.embed(TEXTS, "pooler"), [run(bert, model, (text, "")).pooler_output[0] for text in TEXTS])
    for one in bert.objectives:
        if isinstance(one, MaskedWords):
            (guesses,) = bert.fill_mask("[MASK]", top=len(WORDS))
            masked = torch.tensor([[bert.tokenizer.cls_id, bert.tokenizer.mask_id, bert.tokenizer.sep_id]])
            with torch.no_grad():
                output = model(input_ids=masked)
            logits = output.prediction_logits if hasattr(output, "prediction_logits") else output.logits
            shares = logits[0, 1].softmax(-1).numpy()
            close([guess.probability for guess in guesses], np.sort(shares)[::-1])
            close(bert.score("the").total, np.log(shares[WORDS.index("the")]))
        elif isinstance(one, SentencePairs):
            outputs = [run(bert, model, pair) for pair in PAIRS]
            logits = [x.seq_relationship_logits if hasattr(x, "seq_relationship_logits") else x.logits for x in outputs]
            close(bert.next_sentence(*zip(*PAIRS, strict=True)), [x[0].softmax(-1)[0] for x in logits])
        elif isinstance(one, Choices):
            chosen = bert.choose(QUESTION, CANDIDATES)
            shares = run(bert, model, *((QUESTION, text) for text in CANDIDATES)).logits[0].softmax(-1)
            close(chosen.probabilities, shares)
            assert chosen.index == int(shares.argmax())
        elif isinstance(one, Spans):
            for (output, row, slot, inside), pair in zip(by_text(bert, PAIRS), PAIRS, strict=True):
                expected = run(bert, model, pair)
                close(output.start[row, slot][inside], expected.start_logits[0])
                close(output.end[row, slot][inside], expected.end_logits[0])
        elif one.of_tokens:
            for (output, row, _, inside), pair in zip(by_text(bert, PAIRS), PAIRS, strict=True):
                close(output[row][inside], run(bert, model, pair).logits[0])
        elif one.choose == NUMBER:
            close(bert.regress(PAIRS), [run(bert, model, pair).logits[0, 0] for pair in PAIRS])
        else:
            logits = torch.stack([run(bert, model, pair).logits[0] for pair in PAIRS])
            shares = logits.softmax(-1) if one.choose == ONE else logits.sigmoid()
            found = bert.classify(PAIRS)
            close([list(label.probabilities.values()) for label in found], shares)
            assert [tuple(label.probabilities) for label in found] == [one.names] * len(PAIRS)


def tensors(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("name", HEADS)
def test_what_we_write_is_opened_by_name_and_says_the_same(name, tmp_path):
    bert = ours(HEADS[name])
    bert.save_huggingface(tmp_path)
    kind = architecture(CONFIG, HEADS[name])
    opens = getattr(transformers, "Auto" + ("Model" if kind == "BertModel" else kind.replace("Bert", "Model")))
    model, report = opens.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model).__name__ == kind
    assert not any(report.values())
    assert f"{opens.__name__}.from_pretrained" in (tmp_path / "README.md").read_text()
    compare(bert, model.eval())


@pytest.mark.parametrize("name", HEADS)
def test_what_they_write_says_the_same_here_and_is_written_back(name, tmp_path):
    model = theirs(tmp_path, HEADS[name])
    bert = bert_jax.load(tmp_path)
    assert bert.objectives == HEADS[name]
    compare(bert, model)
    bert.save_huggingface(tmp_path / "again")
    left, right = tensors(tmp_path), tensors(tmp_path / "again")
    assert left.keys() == right.keys()
    for tensor, value in left.items():
        np.testing.assert_array_equal(right[tensor], value, err_msg=tensor)
    before, after = (transformers.AutoConfig.from_pretrained(folder) for folder in (tmp_path, tmp_path / "again"))
    for field in ("architectures", "problem_type"):
        assert getattr(after, field) == getattr(before, field)
    if any(isinstance(one, Labels) for one in HEADS[name]):
        assert after.id2label == before.id2label


def test_pipelines_give_our_labels(tmp_path):
    for name in ("one", "several"):
        bert = ours(HEADS[name])
        bert.save_huggingface(tmp_path / name)
        pipe = transformers.pipeline("text-classification", model=str(tmp_path / name), top_k=None)
        for said, label in zip(pipe(TEXTS), bert.classify(TEXTS), strict=True):
            there = {one["label"]: one["score"] for one in said}
            close([there[name] for name in NAMES], list(label.probabilities.values()))
    bert = ours(HEADS["number"])
    bert.save_huggingface(tmp_path / "number")
    pipe = transformers.pipeline("text-classification", model=str(tmp_path / "number"))
    close([said["score"] for said in pipe(TEXTS)], bert.regress(TEXTS))
    assert pipe("the")[0]["label"] == "warmth"


def test_pipelines_give_our_tags(tmp_path):
    (objective,) = HEADS["tags"]
    bert = ours((objective,))
    bert.save_huggingface(tmp_path)
    pipe = transformers.pipeline("token-classification", model=str(tmp_path), ignore_labels=[])
    for text, (output, row, _, inside) in zip(TEXTS, by_text(bert, [(text, None) for text in TEXTS]), strict=True):
        shares = torch.tensor(np.array(output[row][inside]))[1:-1].softmax(-1)  # without [CLS] and [SEP]
        said = pipe(text)
        assert [one["entity"] for one in said] == [objective.names[i] for i in shares.argmax(-1)]
        close([one["score"] for one in said], shares.max(-1).values)


def test_a_tagger_whose_model_pools_otherwise_is_written(tmp_path):
    """Nothing reads the pooled vector."""
    bert = ours(HEADS["tags"])
    dataclasses.replace(bert, config=dataclasses.replace(CONFIG, pooling="mean")).save_huggingface(tmp_path)
    compare(bert, transformers.AutoModelForTokenClassification.from_pretrained(tmp_path).eval())


def edit(folder, **changes):
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(
        json.dumps({name: value for name, value in values.items() if value is not None})
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [("SequenceClassification", "one"), ("TokenClassification", "tags"), ("MultipleChoice", "choice")],
)
def test_robertas_heads_are_read(kind, name, tmp_path):
    """Its classifier of examples begins with what is the pooler here."""
    shape = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape |= {"intermediate_size": 24, "max_position_embeddings": 34, "type_vocab_size": 1, "initializer_range": 0.3}
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(HEADS[name][0].names))} if name != "choice" else {}
    config = transformers.RobertaConfig(**shape, pad_token_id=1, **labels)
    model = getattr(transformers, f"RobertaFor{kind}")(config).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(VOCABULARY["vocab.txt"])
    bert = bert_jax.load(tmp_path)
    assert bert.objectives == HEADS[name]
    compare(bert, model)


def test_the_class_tells_a_choice_from_a_number(tmp_path):
    """Their tensors have the same names and shapes; without a class, one output is a number, as in `transformers`."""
    theirs(tmp_path, HEADS["choice"])
    edit(tmp_path, architectures=None)
    bert = bert_jax.load(tmp_path)
    assert bert.objectives == (Labels(names=("LABEL_0",), choose=NUMBER),)
    scores = bert.regress([(QUESTION, text) for text in CANDIDATES])
    edit(tmp_path, architectures=["BertForMultipleChoice"])
    shares = bert_jax.load(tmp_path).choose(QUESTION, CANDIDATES).probabilities
    close(torch.tensor(scores).softmax(-1), shares)


def test_labels_without_names_are_called_as_they_call_them(tmp_path):
    theirs(tmp_path, (Labels(names=("no", "yes")),), id2label={0: "LABEL_0", 1: "LABEL_1"})
    assert "id2label" not in json.loads((tmp_path / "config.json").read_text())
    bert = bert_jax.load(tmp_path)
    assert bert.objectives[0].names == tuple(transformers.AutoConfig.from_pretrained(tmp_path).id2label.values())


def test_several_numbers_are_refused(tmp_path):
    theirs(tmp_path, HEADS["one"], problem_type="regression")
    with pytest.raises(ConfigError, match="problem_type='regression' with 3 labels is not supported"):
        bert_jax.load(tmp_path)
