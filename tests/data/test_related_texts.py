import json

import numpy as np
import pytest

from bert_jax.data.labelled import Rows
from bert_jax.data.related_texts import RelatedTextsConfig, label_values, read_related
from bert_jax.data.text_groups import TextGroup, described, encode_groups, scored_groups, training_groups
from bert_jax.errors import ConfigError, CorpusError


def read(tmp_path, rows, name="file.jsonl", **options):
    """What is read of some rows, and the lines that are told."""
    file = tmp_path / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = []
    config = RelatedTextsConfig(train=str(file), **options)
    return list(read_related(file, config, lines)), lines


@pytest.mark.parametrize(
    ("row", "form"),
    [
        ({"text": "a"}, "single texts"),
        ({"anchor": "a", "positive": "b"}, "pairs that belong together"),
        ({"anchor": "a", "positive": "b", "negative": "c"}, "pairs that belong together, and a hard negative for each"),
        ({"sent0": "a", "sent1": "b", "hard_neg": "c"}, "pairs that belong together, and a hard negative for each"),
        ({"premise": "a", "hypothesis": "b", "label": "neutral"}, "pairs with labels"),
        ({"sentence1": "a", "sentence2": "b", "score": "4.5"}, "pairs with a number for their similarity"),
        ({"question": "a", "passage": "b", "answer": True}, "pairs that belong together"),  # BoolQ
        ({"question": "a", "answer": "b"}, "pairs that belong together"),
    ],
)
def test_columns_say_what_rows_are(tmp_path, row, form):
    (found,), lines = read(tmp_path, [row])
    assert f"form         {form} ({tmp_path}/file.jsonl)" in lines
    assert found.text == "a"
    assert found.pair == ("b" if len(row) > 1 else None)
    assert found.negative == ("c" if "negative" in form else None)
    assert found.similarity == {"pairs with labels": 0.5, "pairs with a number for their similarity": 4.5}.get(form)
    assert any(line.startswith("columns ") and "guessed" in line for line in lines)


def test_a_form_that_is_told_wins(tmp_path):
    row = {"premise": "a", "hypothesis": "b", "label": 3}
    assert read(tmp_path, [row], form="pairs")[0][0].similarity is None
    assert read(tmp_path, [row], form="texts")[0][0].pair is None
    assert read(tmp_path, [row], form="labels", label_values="3=1,1=0")[0][0].similarity == 1
    with pytest.raises(CorpusError, match=r"no column that looks like the negative of data.form=triplets: name it by"):
        read(tmp_path, [row], form="triplets")


def test_the_questions_of_squad_are_pairs(tmp_path):
    answered, not_answered = (
        {"question": q, "id": q, "answers": [], "is_impossible": q == "no"} for q in ("yes", "no")
    )
    file = tmp_path / "squad.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": "all", "qas": [answered, not_answered]}]}]}))
    lines = []
    (found,) = read_related(file, RelatedTextsConfig(), lines)
    assert (found.text, found.pair) == ("yes", "all")
    assert f"left out     questions of {file} without an answer: 1" in lines


def test_labels_become_groups_of_each_text(tmp_path):
    labels = [("a", "1", "entailment"), ("a", "2", "contradiction"), ("a", "3", "entailment"), ("b", "4", "neutral")]
    labels += [("c", "5", "entailment"), ("a", "6", "contradiction"), ("a", "7", "entailment"), ("d", "8", "-")]
    rows, told = read(tmp_path, [{"premise": a, "hypothesis": b, "gold_label": label} for a, b, label in labels])
    assert any("labels that data.label_values does not name: '-' 1" in line for line in told)
    lines = []
    groups = training_groups(rows, lines)
    assert [group.texts for group in groups] == [("a", "1", "2"), ("a", "3", "6"), ("a", "7", "2"), ("c", "5")]
    assert lines == ["left out     training texts to which no other one belongs: 1"]
    assert described(groups, "train") == "train        4 pairs that belong together, 3 hard negatives"
    assert [group.similarity for group in scored_groups(rows)] == [1, 0, 1, 0.5, 1, 0, 1]


def test_a_text_alone_belongs_to_itself(tmp_path):
    rows, _ = read(tmp_path, [{"text": "a"}, {"text": "b"}])
    groups = training_groups(rows, [])
    assert [group.texts for group in groups] == [("a", "a"), ("b", "b")]
    assert "with itself under another draw of dropout" in described(groups, "train")
    with pytest.raises(CorpusError, match="line 1 has one text alone, which would only have to find itself"):
        scored_groups(rows)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"anchor": "a", "positive": " ", "negative": "c"}, "'positive' is empty: give a text"),
        ({"anchor": "a", "positive": "b", "negative": "b"}, "the negative is the text itself or its partner"),
        ({"sentence1": "a", "sentence2": "b", "score": "x"}, "is no number"),
    ],
)
def test_bad_rows_are_named(tmp_path, row, message):
    good = {name: "1" + "abc"[i] if name != "score" else 1 for i, name in enumerate(row)}
    with pytest.raises(CorpusError, match=f"line 2.*{message}"):
        read(tmp_path, [good, row])


def test_labels_that_are_not_named_are_told(tmp_path):
    rows = [{"premise": "a", "hypothesis": "b", "label": label} for label in ("yes", "no", "yes")]
    with pytest.raises(
        CorpusError, match=r"no label of data\.label_values=entailment.*, only 'yes' 2, 'no' 1: name them"
    ):
        read(tmp_path, rows)
    assert len(read(tmp_path, rows, label_values="yes=1")[0]) == 2


def test_numbers_of_labels_are_not_taken_for_similarities(tmp_path):
    """In NLI, 0 is usually entailment, and 2 contradiction."""
    row = {"premise": "a", "hypothesis": "b", "label": 0}
    with pytest.raises(CorpusError, match=r"'label' may be the numbers of labels, or a similarity: give data\.form="):
        read(tmp_path, [row])
    assert read(tmp_path, [row], form="labels", label_values="0=1,1=0.5,2=0")[0][0].similarity == 1
    assert read(tmp_path, [row], form="numbers")[0][0].similarity == 0


@pytest.mark.parametrize("text", ["entailment", "a=x", "a=2", "=1", "a=nan"])
def test_label_values_have_one_form(text):
    with pytest.raises(ConfigError, match="is not of the form entailment=1"):
        label_values(text)
    assert "data.label_values" in " ".join(RelatedTextsConfig(label_values=text).problems())


def test_groups_share_rows_and_columns_say_who_belongs_to_whom(corpus):
    texts = ["the end", "and the end. " * 9, "the", "the end"]
    groups = [
        TextGroup((texts[0], texts[1])),
        TextGroup((texts[2], texts[0], texts[1])),
        TextGroup((texts[3], "the"), 4),
    ]
    labelled = encode_groups(groups, corpus.tokenizer, 24)
    assert labelled.texts.num_cut == 2  # each time
    assert labelled.groups.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert labelled.columns["text_ids"].tolist() == [0, 1, 2, 0, 1, 0, 2]
    assert labelled.columns["partner_ids"].tolist() == [1, 0, 0, 2, -1, 2, 0]
    assert labelled.columns["text_roles"].tolist() == [0, 1, 0, 1, 2, 0, 1]
    assert labelled.columns["group_weights"].tolist() == [1] * 5 + [0] * 2
    assert labelled.columns["similarities"].tolist() == [0] * 5 + [4, 4]
    assert len(set(labelled.texts.segments.key.tolist())) == 7  # equal texts have draws of their own
    batch = Rows(labelled, corpus.tokenizer, 24, 3, (0,)).all()
    for row, slot in np.argwhere(batch["example_ids"].max(1)[:, None] > np.arange(3)):
        ids = batch["token_ids"][row, batch["example_ids"][row] == slot + 1].tolist()
        text = {0: texts[0], 1: texts[1], 2: texts[2]}[int(batch["text_ids"][row, slot])]
        assert ids[1:-1] == corpus.tokenizer.encode(text)[: len(ids) - 2]
        assert len(ids) - 2 == len(corpus.tokenizer.encode(text)) or text == texts[1]
