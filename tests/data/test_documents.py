import itertools
import json

import numpy as np
import pytest

from bert_jax.data.documents import DocumentsConfig, make_windows, read_documents, window_bounds
from bert_jax.data.labelled import Rows
from bert_jax.errors import CorpusError


def context(lengths, bound, sentence):
    """The tokens between a sentence and the nearer end of a window; the ends of the document do not count."""
    begin, end = bound
    left = sum(lengths[begin:sentence]) if begin else np.inf
    right = sum(lengths[sentence + 1 : end]) if end < len(lengths) else np.inf
    return min(left, right)


def test_each_sentence_counts_once_where_it_has_most_context():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        longest = int(rng.integers(8, 60))
        lengths = rng.integers(2, min(longest, 20) + 1, rng.integers(1, 40)).tolist()
        overlap = int(rng.integers(0, longest))
        windows = window_bounds(lengths, longest, overlap)
        assert [i for *_, counted in windows for i in counted] == list(range(len(lengths)))
        for begin, end, counted in windows:
            assert sum(lengths[begin:end]) <= longest
            assert begin <= counted.start < counted.stop <= end
        for (_, before, _), (after, end, _) in itertools.pairwise(windows):
            assert after <= before < end
        for begin, end, counted in windows:
            for i in counted:
                here = context(lengths, (begin, end), i)
                others = [context(lengths, (b, e), i) for b, e, _ in windows if b <= i < e]
                assert here == max(others)


def test_without_overlap_windows_follow_each_other_and_a_short_document_is_one():
    assert window_bounds([4, 4, 4, 4, 4], 8, 0) == [(0, 2, range(2)), (2, 4, range(2, 4)), (4, 5, range(4, 5))]
    assert window_bounds([4, 4], 8, 3) == [(0, 2, range(2))]
    assert window_bounds([], 8, 3) == []
    assert window_bounds([3] * 6, 9, 3) == [(0, 3, range(3)), (2, 5, range(3, 5)), (4, 6, range(5, 6))]


DOCUMENTS = [["the end.", "", "the and the."], ["the end and the end."] * 7, ["the."], ["and " * 60]]


def test_windows_have_a_cls_and_a_type_for_each_sentence(corpus):
    tokenizer = corpus.tokenizer
    windows = make_windows(DOCUMENTS, tokenizer, 24, 16)
    labels = np.arange(12) % 2
    labelled = windows.labelled(labels)
    batch = Rows(labelled, tokenizer, 32, 2, (0, 0)).all()
    sentences = [sentence for document in DOCUMENTS for sentence in document]
    seen = []
    for row, slot in zip(*np.nonzero(batch["example_keys"]), strict=True):
        inside = batch["example_ids"][row] == slot + 1
        ids, types, places, counts, gold = (
            batch[name][row, inside]
            for name in ("token_ids", "token_type_ids", "summary_places", "summary_weights", "summary_labels")
        )
        begins = np.flatnonzero(ids == tokenizer.cls_id).tolist()
        for number, (begin, end) in enumerate(zip(begins, [*begins[1:], len(ids)], strict=True)):
            assert set(types[begin:end]) == {number % 2}
            assert ids[end - 1] == tokenizer.sep_id
            assert not counts[begin + 1 : end].any()
            if counts[begin]:
                place = places[begin]
                assert ids[begin + 1 : end - 1].tolist() == tokenizer.encode(sentences[place])[:22]
                assert gold[begin] == labels[place]
                seen.append(int(place))
    assert sorted(seen) == list(range(12))
    assert (windows.num_cut, set(windows.document)) == (1, {0, 1, 2, 3})
    assert not batch["token_type_ids"][batch["example_ids"] == 0].any()


def test_no_sentence_of_a_long_document_is_lost(corpus):
    """60 sentences of 20 tokens, and a model of 512: the last ones can be chosen, too."""
    word = next(p for p in corpus.tokenizer.vocabulary if p.isalpha() and len(corpus.tokenizer.encode(p)) == 1)
    sentences = [" ".join([word] * 20)] * 60
    labels = np.isin(np.arange(60), [0, 55])
    batch = Rows(
        make_windows([sentences], corpus.tokenizer, 512, 128).labelled(labels), corpus.tokenizer, 512, 32, (0,)
    ).all()
    assert sorted(batch["summary_places"][batch["summary_weights"] > 0]) == list(range(60))
    assert batch["summary_labels"].sum() == 2
    assert sorted(batch["summary_places"][batch["summary_labels"] > 0]) == [0, 55]


def read(tmp_path, *rows, labelled=True, **settings):
    file, lines = tmp_path / "a.jsonl", []
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(read_documents(file, DocumentsConfig(**settings), lines, labelled)), lines


def test_sentences_and_labels_of_a_file(tmp_path):
    row = {
        "source": ["A.", "B."],
        "source_labels": [0, 1],
        "rouge_scores": [0.1, 0.2],
        "target": ["b", "c"],
        "title": "t",
    }
    (document,), lines = read(tmp_path, row)
    assert (document.sentences, document.references, document.labels) == (("A.", "B."), ("b", "c"), (0, 1))
    assert lines == [
        "columns      document=source, summary=target, sentence_label=source_labels (guessed from source,"
        " source_labels, rouge_scores, target, title)"
    ]
    (document,), _ = read(tmp_path, row, labelled=False)
    assert (document.references, document.labels) == ((), None)


def test_a_text_is_split_into_sentences(tmp_path):
    text = "Dr. Smith came at 3.5 p.m. He left.\nIt rained!  All night."
    (document,), _ = read(tmp_path, {"article": text, "highlights": "He left.\nIt rained.", "id": "x"})
    assert document.sentences == ("Dr. Smith came at 3.5 p.m.", "He left.", "It rained!", "All night.")
    assert document.references == ("He left.\nIt rained.",)
    assert document.labels is None
    (chinese,), _ = read(tmp_path, {"text": "我有猫。它睡了。", "summary": "猫"}, language="zh")
    assert chinese.sentences == ("我有猫。", "它睡了。")


FINE = {"document": ["a"], "summary": "b"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (FINE | {"document": " \n "}, r"line 1: 'document' is empty: give a text"),
        (FINE | {"document": []}, r"line 1: 'document' is empty: give a text"),
        (FINE | {"document": [" "]}, r"line 1: 'document' is empty"),
        (FINE | {"document": ["a", 3]}, r"line 1: 'document' is neither a text nor a list of sentences"),
        (FINE | {"summary": ""}, r"line 1: 'summary' is empty"),
        (FINE | {"summary": None}, r"line 1: 'summary' is neither a text nor a list of summaries"),
        (FINE | {"labels": [0, 1]}, r"line 1: 'labels' is no list of 0 or 1 for each of the 1 sentences"),
        (FINE | {"labels": [2]}, r"line 1: 'labels' is no list of 0 or 1"),
        ({"document": ["a"]}, r"no column has a name that is usual for the summary .*data\.summary_column"),
        ({"summary": "a"}, r"no column has a name that is usual for the document .*data\.document_column"),
        (FINE | {"article": "b"}, r"'document' or 'article' may be the document"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, row, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, row)


def test_problems_of_the_config():
    fine = {"train": "a.jsonl", "validation": "b.jsonl"}
    assert DocumentsConfig(**fine, window_overlap=64).problems() == []
    assert len(DocumentsConfig(**fine, num_sentences=0, window_overlap=128).problems()) == 2
