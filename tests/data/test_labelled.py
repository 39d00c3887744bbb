import dataclasses

import numpy as np
import pytest

from bert_jax.data.labelled import LabelledStream, LabelledTexts, Rows
from bert_jax.data.labelled_files import LabelledConfig, LabelledTextsConfig, label_name, number, read_labelled
from bert_jax.data.texts import encode
from bert_jax.errors import CorpusError

TEXTS = [(" ".join(["the end."] * (1 + i % 5)), None) for i in range(50)]


@pytest.fixture
def rows(corpus):
    index = np.arange(len(TEXTS))
    texts = encode(TEXTS, corpus.tokenizer, 32)
    places = {"place": np.arange(len(texts.token_ids), dtype=np.int32)}
    labelled = LabelledTexts(texts, {"index": index, "used": np.ones_like(index)}, places)
    return Rows(labelled, corpus.tokenizer, 32, 4, (7,))


def used(batch):
    return batch["index"][batch["used"] > 0]


def test_an_epoch_has_every_example_once_and_epochs_differ(rows):
    stream = LabelledStream(rows, 3, {}, ())
    wanted = range(2 * len(rows))
    found = [used(stream.batch(g // 3, g % 3, g % 3 + 1)) for g in wanted]
    first, second = (np.concatenate(found[i * len(rows) : (i + 1) * len(rows)]) for i in (0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)


def test_a_batch_is_the_same_in_parts_and_at_any_time(rows):
    stream = LabelledStream(rows, 8, {}, ())
    whole = stream.batch(5)
    stream.batch(0)
    for name, value in stream.batch(5).items():
        np.testing.assert_array_equal(value, whole[name])
        parts = [stream.batch(5, *part)[name] for part in ((0, 3), (3, 8))]
        np.testing.assert_array_equal(np.concatenate(parts), value)


def test_the_held_out_set_has_every_example_once(rows):
    assert sorted(used(rows.all())) == list(range(50))


def test_a_group_shares_a_row(corpus):
    """Groups of one to three examples: each epoch has all of them, whole, in rows that have room."""
    groups = np.repeat(np.arange(25), [1, 2, 3, 2, 2] * 5)
    texts = encode(TEXTS, corpus.tokenizer, 10)
    columns = {"group": groups, "used": np.ones_like(groups), "index": np.arange(50)}
    rows = Rows(LabelledTexts(texts, columns, groups=groups), corpus.tokenizer, 64, 7, (7,))
    for epoch in (0, 1):
        batch = rows.batch(rows.plan(epoch), len(rows))
        assert sorted(used(batch)) == list(range(50))
        places = {group: np.nonzero(np.any((batch["group"] == group) & (batch["used"] > 0), 1))[0] for group in groups}
        assert all(len(place) == 1 for place in places.values())
        assert (np.sort(np.diff(batch["used"], axis=1).ravel())[-1]) <= 0  # slots are used from the first one on
    assert not np.array_equal(rows.plan(0), rows.plan(1))


def test_tokens_are_those_of_the_text(rows, corpus):
    tokenizer = corpus.tokenizer
    batch = rows.all()
    for row, slot in zip(*np.nonzero(batch["used"]), strict=True):
        ids = batch["token_ids"][row, batch["example_ids"][row] == slot + 1].tolist()
        expected = tokenizer.encode(TEXTS[batch["index"][row, slot]][0])
        assert ids == [tokenizer.cls_id, *expected, tokenizer.sep_id]


def test_columns_of_tokens_follow_their_tokens(rows, corpus):
    batch, texts = rows.all(), encode(TEXTS, corpus.tokenizer, 32)
    special = np.isin(batch["token_ids"], corpus.tokenizer.special_ids)
    assert not batch["place"][special].any()
    np.testing.assert_array_equal(texts.token_ids[batch["place"]][~special], batch["token_ids"][~special])
    assert sorted(batch["place"][~special]) == list(range(len(texts.token_ids)))


CUTS = {(20, 0): (14, 0), (14, 0): (14, 0), (3, 20): (3, 10), (20, 3): (10, 3), (9, 9): (7, 6), (0, 2): (0, 2)}


@pytest.mark.parametrize(("lengths", "kept"), CUTS.items())
def test_the_longer_text_of_a_pair_is_cut(corpus, lengths, kept):
    letters = [piece for piece in corpus.tokenizer.vocabulary if len(piece) == 1 and piece.isalpha()]
    texts = [" ".join([letters[0]] * length) for length in lengths]
    encoded = encode([(texts[0], texts[1] or None)], corpus.tokenizer, 16)
    assert (int(encoded.segments.a_length[0]), int(encoded.segments.b_length[0])) == kept
    assert encoded.segments.length[0] <= 16
    assert encoded.num_cut == (lengths != kept)


def write(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path / name


def read(file, lines=None, labelled=True, **settings):
    rows = read_labelled(file, LabelledTextsConfig(**settings), [] if lines is None else lines, labelled)
    return [(row.text, row.pair, row.label) for row in rows]


def test_all_forms_give_the_same_rows(tmp_path):
    tsv = write(tmp_path, "a.tsv", '\ufeffsentence\tlabel\r\n" a quote\tyes\r\n\nb\tno\n')
    csv = write(tmp_path, "a.csv", 'sentence,label\n""" a quote",yes\nb,no\n')
    jsonl = write(tmp_path, "a.jsonl", '{"text": "\\" a quote", "label": "yes"}\n{"text": "b", "label": "no"}\n')
    assert read(tsv) == read(csv) == read(jsonl) == [('" a quote', None, "yes"), ("b", None, "no")]


def test_columns_are_guessed_and_told_or_named(tmp_path):
    file = write(tmp_path, "a.jsonl", '{"sentence1": "a", "sentence2": "b", "gold": 1, "label": true}\n')
    lines = []
    assert read(file, lines) == [("a", "b", True)]
    assert lines == [
        "columns      text=sentence1, pair=sentence2, label=label (guessed from sentence1, sentence2, gold, label)"
    ]
    assert read(file, text_column="sentence2", pair_column="sentence1", label_column="gold") == [("b", "a", 1)]
    assert read(file, text_column="sentence2", label_column="gold") == [("b", None, 1)]


def test_new_texts_need_no_label(tmp_path):
    file = write(tmp_path, "a.jsonl", '{"text": "a"}\n')
    assert read(file, labelled=False) == [("a", None, None)]
    with pytest.raises(CorpusError, match="label"):
        read(file)


def test_rows_of_a_label_are_left_out_and_counted(tmp_path):
    file, lines = write(tmp_path, "a.tsv", "text\tlabel\na\t-\nb\tyes\nc\t-\n"), []
    assert read(file, lines, skip_label="-") == [("b", None, "yes")]
    assert lines[-1] == f"left out     rows of {file} with the label -: 2"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tlabel\na\t\n", r"a\.tsv, line 2 has no label \('label' is empty\)"),
        ("a.tsv", "text\tlabel\n \tb\n", r"a\.tsv, line 2: 'text' is empty: give a text"),
        ("a.tsv", "text\tlabel\n\u200b\tb\n", r"a\.tsv, line 2: 'text' is empty: give a text"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": null, "label": 1}', r"line 2: 'text' is no text"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": null}', r"line 2 has no label"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, name, content, message):
    with pytest.raises(CorpusError, match=message):
        read(write(tmp_path, name, content))


def test_problems_of_the_config():
    assert len(LabelledConfig().problems()) == 2
    fine = LabelledConfig(train="a.tsv", validation="b.jsonl", test="tfds:glue/sst2:test")
    assert fine.problems() == []
    assert len(dataclasses.replace(fine, train="a.doc", sequence_length=4, max_examples=0).problems()) == 3


@pytest.mark.parametrize(
    ("value", "name"),
    [(1, "1"), (1.0, "1"), (-0.0, "0"), (0.5, "0.5"), (True, "true"), ("pos ", "pos"), (" 1.0", "1.0")],
)
def test_slips_in_labels_make_no_new_classes(value, name):
    assert label_name(value) == name


def test_labels_that_are_no_numbers_are_refused():
    assert number(" 2.5", "here") == 2.5
    for value in ("", "good", "nan", "inf", None, True, [1], float("nan")):
        with pytest.raises(CorpusError, match=r"^here: the label .* is no number"):
            number(value, "here")
