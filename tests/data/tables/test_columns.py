import pytest

from bert_jax.data.tables import Record, text_columns, token_columns
from bert_jax.errors import CorpusError


def roles(names, values=(), **named):
    first = Record(dict.fromkeys(names.split(","), "x") | dict(values), "a.tsv, line 2")
    return tuple(text_columns(first, **named).roles.get(role) for role in ("text", "pair", "label"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("sentence,label", ("sentence", None, "label")),  # rotten tomatoes, SST-2, CoLA
        ("text,category", ("text", None, "category")),  # banking77
        ("id,text,label", ("text", None, "label")),  # NusaX
        ("sentence1,sentence2,label", ("sentence1", "sentence2", "label")),  # SNLI, MRPC, RTE
        ("genre,filename,year,id,score,sentence1,sentence2", ("sentence1", "sentence2", "score")),  # STS
        ("premise,hypothesis,label,idx", ("premise", "hypothesis", "label")),  # MNLI
        ("question1,question2,label,idx", ("question1", "question2", "label")),  # QQP
        ("id,qid1,qid2,question1,question2,is_duplicate", ("question1", "question2", "is_duplicate")),
        ("question,sentence,label,idx", ("question", "sentence", "label")),  # QNLI
        ("question,answer,passage", ("question", "passage", "answer")),  # BoolQ
        ("Quality,#1 ID,#2 ID,#1 String,#2 String", ("#1 String", "#2 String", "Quality")),  # MRPC's own
        ("annotator_labels,gold_label,pairID,sentence1,sentence2", ("sentence1", "sentence2", "gold_label")),
        ("promptID,sentence1,sentence2,label1,gold_label", ("sentence1", "sentence2", "gold_label")),
        ("Sentence_A,Sentence_B,label", ("Sentence_A", "Sentence_B", "label")),
        ("text,label,label_text", ("text", None, "label_text")),
        ("review,sentiment,id", ("review", None, "sentiment")),
        ("label,title,content", ("content", None, "label")),  # DBpedia
        ("title,category", ("title", None, "category")),
        ("app,review,star", ("review", None, "star")),
        ("utterance,intent", ("utterance", None, "intent")),
        ("text,text2,label", ("text", "text2", "label")),
    ],
)
def test_usual_names_are_known(names, expected):
    assert roles(names) == expected


def test_named_columns_win():
    assert roles("a,b,c", text="b", label="c") == ("b", None, "c")
    assert roles("sentence1,sentence2,label,c", label="c") == ("sentence1", "sentence2", "c")
    assert roles("sentence1,sentence2,label", text="sentence2") == ("sentence2", None, "label")  # no pair is asked for
    assert roles("text,other,label", pair="other") == ("text", "other", "label")
    assert roles("premise,hypothesis,label", pair="premise", text="hypothesis") == ("hypothesis", "premise", "label")


def test_values_of_the_first_row_decide_too():
    assert roles("text", {"label": ["a", "b"], "answer": 1}) == ("text", None, "label")
    assert roles("text,document", {"text": {"a": 1}, "label": None}) == ("document", None, "label")
    assert roles("text", {"label": [{"a": 1}], "category": "b"}) == ("text", None, "category")


def test_labels_may_be_missing_where_none_are_needed():
    assert roles("text,id", has_label=False) == ("text", None, None)
    assert roles("text,score,stars", has_label=False) == ("text", None, None)


def test_the_guess_is_said_in_a_line():
    first = Record({"review": "a", "sentiment": "b", "id": 1, "a, b": ""}, "a.tsv, line 2")
    expected = "columns      text=review, label=sentiment (guessed from review, sentiment, id, 'a, b')"
    assert text_columns(first).line == expected
    assert text_columns(first, "review", label="id").line == "columns      text=review, label=id"


@pytest.mark.parametrize(
    ("names", "named", "message"),
    [
        ("txt,label", {}, r"a\.tsv, line 2: no column .* usual for the text .*txt, label\): name it by data\.text_col"),
        ("text,gut", {}, r"for the label \(the columns are text, gut\): name it by data\.label_column, or add a"),
        ("text,a,b,gut", {}, r"\): name it by data\.label_column\.$"),
        ("review,comment,label", {}, r"'review' or 'comment' may be the text \(.*\): choose by data\.text_column\."),
        ("text,label,labels", {}, r"'label' or 'labels' may be the label"),
        ("text,score,stars", {}, r"'score' or 'stars' may be the label .*data\.label_column"),
        ("premise,hypothesis,sentence1,sentence2,label", {}, r"'sentence1' and 'sentence2' or 'premise' and"),
        ("text,label", {"text": "txt"}, r"no column 'txt', only text, label: correct data\.text_column\. Did you mean"),
        ("text,label", {"label": "text", "text": "text"}, r"data\.text_column and data\.label_column are both 'text'"),
        (",".join(f"c{i}" for i in range(30)), {}, r"c19 and 10 more\)"),
    ],
)  # fmt: skip
def test_what_is_unclear_names_the_columns_and_the_flag(names, named, message):
    with pytest.raises(CorpusError, match=message):
        roles(names, **named)


def test_tokens_and_tags_are_lists():
    first = Record({"id": 1, "tokens": ["a"], "ner_tags": ["O"], "label": "x"}, "a.jsonl, line 1")
    assert token_columns(first).roles == {"tokens": "tokens", "tags": "ner_tags"}
    first = Record({"tokens": ["a"], "ner_tags": [0], "pos_tags": [1]}, "a.jsonl, line 1")
    assert token_columns(first, tags="pos_tags").roles == {"tokens": "tokens", "tags": "pos_tags"}
    with pytest.raises(CorpusError, match="'ner_tags' or 'pos_tags' may be the tag"):
        token_columns(first)
