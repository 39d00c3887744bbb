"""An exported tagger in the pipeline of `transformers`: the same entities, at the same places, with the same scores."""

import dataclasses

import pytest

WHY = "the parity tests compare with PyTorch: pip install torch transformers"
pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)

import bert_jax  # noqa: E402
from bert_jax.model.config import ModelConfig  # noqa: E402
from bert_jax.objectives.labels import Labels  # noqa: E402
from bert_jax.objectives.learner import Learner  # noqa: E402
from bert_jax.objectives.tags import BARE, IOB2  # noqa: E402
from bert_jax.objectives.word_tags import WordTags  # noqa: E402
from bert_jax.pretrained import Pretrained  # noqa: E402
from bert_jax.tokenization import from_files  # noqa: E402
from tests.interop.rows import padded_batch, random_params  # noqa: E402

WHOLE = ["anna", "bonn", "cafe", "saw", "the", ",", ".", "!", "'", "京", "東", "zurich"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WHOLE, "un", "##happy", "##s", "##ly"]
VOCABULARY = {"vocab.txt": "\n".join(WORDS).encode(), "tokenizer_config.json": b'{"do_lower_case": true}'}
CONFIG = ModelConfig(
    vocab_size=len(WORDS), num_layers=1, hidden_size=16, num_heads=2, intermediate_size=24, max_positions=64
)
NAMES = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")
WHOLE_WORDS = [
    "Anna saw Bonn, the café.",
    "  ANNA'S! saw\tthe Zürich  café\n東京",
    "東京saw Anna,Bonn.the 😀 anna unknown",
    "café café Café anna bonn the saw zurich saw anna, anna bonn",
]
IN_PIECES = ["Unhappys saw annas unhappily, Bonns!", "the cafés unhappy Annaly 東s unhappyly anna", "anna unhappy anna"]


@pytest.fixture(scope="module")
def bert():
    objective = WordTags(names=NAMES, scheme=IOB2)
    batch = padded_batch(CONFIG, [12, 7], 12, 3)
    params = random_params(Learner(CONFIG, (Labels(names=NAMES, of_tokens=True),)).model, batch, seed=1)
    params["label"]["dense"]["kernel"] *= 3  # so that no tag wins everywhere
    return Pretrained("here", CONFIG, (objective,), params, from_files(VOCABULARY), CONFIG.max_positions)


@pytest.fixture(scope="module")
def folder(bert, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported")
    bert.save_huggingface(path)
    return str(path)


def theirs(folder, strategy, texts):
    tagger = transformers.pipeline("token-classification", model=folder, aggregation_strategy=strategy)
    return [
        [(one["entity_group"], one["start"], one["end"], pytest.approx(float(one["score"]), rel=1e-4)) for one in found]
        for found in tagger(texts)
    ]


def ours(bert, texts):
    return [[(one.type, one.start, one.end, one.score) for one in found] for found in bert.tag(texts)]


@pytest.mark.parametrize(("strategy", "texts"), [("first", WHOLE_WORDS + IN_PIECES), ("simple", WHOLE_WORDS)])
def test_the_pipeline_finds_the_same_entities(bert, folder, strategy, texts):
    found = ours(bert, texts)
    assert len({kind for one in found for kind, *_ in one}) == 2
    assert any(end - start > 8 for one in found for _, start, end, _ in one)  # several words
    assert found == theirs(folder, strategy, texts)


def test_bare_tags_are_the_same_for_each_word(bert, tmp_path):
    objective = WordTags(names=("ADJ", "DET", "NOUN", "PUNCT", "VERB"), scheme=BARE)
    tagger = dataclasses.replace(bert, objectives=(objective,))
    tagger.save_huggingface(tmp_path)
    model = transformers.pipeline("token-classification", model=str(tmp_path), aggregation_strategy="none")
    for text in WHOLE_WORDS:
        expected = [(one["entity"], one["start"], one["end"]) for one in model(text)]
        assert [(one.type, one.start, one.end) for one in tagger.tag(text)] == expected


def test_the_class_is_named_and_our_own_reader_finds_the_same(bert, folder):
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder)
    assert type(model).__name__ == "BertForTokenClassification"
    assert model.config.id2label == dict(enumerate(NAMES))
    again = bert_jax.load(folder)
    texts = WHOLE_WORDS + IN_PIECES + ["anna " * 100]
    places = [[one[:3] for one in found] for found in ours(again, texts)]
    assert places == [[one[:3] for one in found] for found in ours(bert, texts)]
