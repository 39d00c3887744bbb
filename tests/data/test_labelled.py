import dataclasses

import numpy as np
import pytest

from bert_jax.data.labelled import LabelledStream, Rows
from bert_jax.data.labelled_files import LabelledConfig, read_labelled
from bert_jax.data.texts import encode
from bert_jax.errors import CorpusError

TEXTS = [(" ".join(["the end."] * (1 + i % 5)), None) for i in range(50)]


@pytest.fixture
def rows(corpus):
    index = np.arange(len(TEXTS))
    columns = {"index": index, "used": np.ones_like(index)}
    return Rows(encode(TEXTS, corpus.tokenizer, 32), columns, corpus.tokenizer, 32, 4, (7,))


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


def test_tokens_are_those_of_the_text(rows, corpus):
    tokenizer = corpus.tokenizer
    batch = rows.all()
    for row, slot in zip(*np.nonzero(batch["used"]), strict=True):
        ids = batch["token_ids"][row, batch["example_ids"][row] == slot + 1].tolist()
        expected = tokenizer.encode(TEXTS[batch["index"][row, slot]][0])
        assert ids == [tokenizer.cls_id, *expected, tokenizer.sep_id]


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


def test_both_forms_give_the_same_rows(tmp_path):
    tsv = write(tmp_path, "a.tsv", '\ufeffsentence\tlabel\r\n" a quote\tyes\r\n\nb\tno\n')
    jsonl = write(tmp_path, "a.jsonl", '{"text": "\\" a quote", "label": "yes"}\n{"text": "b", "label": "no"}\n')
    found = [[(row.text, row.pair, row.label) for row in read_labelled(f, LabelledConfig())] for f in (tsv, jsonl)]
    assert found[0] == found[1] == [('" a quote', None, "yes"), ("b", None, "no")]


def test_columns_are_guessed_or_named(tmp_path):
    file = write(tmp_path, "a.jsonl", '{"sentence1": "a", "sentence2": "b", "gold": 1, "label": true}\n')
    (row,) = read_labelled(file, LabelledConfig())
    assert (row.text, row.pair, row.label) == ("a", "b", "true")
    named = LabelledConfig(text_column="sentence2", pair_column="sentence1", label_column="gold")
    (row,) = read_labelled(file, named)
    assert (row.text, row.pair, row.label) == ("b", "a", "1")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tlabel\na\tb\tc\n", r"a\.tsv, line 2 has 3 columns, but the header has 2\."),
        (
            "a.tsv",
            "txt\tlabel\na\tb\n",
            "line 2 has no column 'text' or 'sentence' or 'sentence1', only 'txt'",
        ),
        ("a.tsv", "text\tlabel\n", "holds no labelled texts"),
        ("a.tsv", "", "holds no labelled texts"),
        ("a.tsv", "text\tlabel\na\t\n", "line 2 has an empty label"),
        ("a.tsv", b"text\tlabel\n\xff\tb\n", "line 2 is not UTF-8"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text"', r"a\.jsonl, line 2 is not JSON"),
        ("a.jsonl", "[1]\n", "line 1 is not a JSON object"),
        ("a.jsonl", '{"text": ["a"], "label": 1}', "'text' is neither text nor a number"),
        ("a.jsonl", '{"text": "a", "labels": 1}', r"no column 'label'.*data\.label_column\. Did you mean labels\?"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, name, content, message):
    with pytest.raises(CorpusError, match=message):
        read_labelled(write(tmp_path, name, content), LabelledConfig())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CorpusError, match="There is no file"):
        read_labelled(tmp_path / "none.tsv", LabelledConfig())


def test_problems_of_the_config():
    assert len(LabelledConfig().problems()) == 2
    fine = LabelledConfig(train="a.tsv", validation="b.jsonl")
    assert fine.problems() == []
    assert len(dataclasses.replace(fine, train="a.csv", sequence_length=4, max_examples=0).problems()) == 3


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        (['{"text": "a", "label": 1}', '{"text": "b", "label": 1.0}', '{"text": "c", "label": -0.0}'], ["1", "1", "0"]),
        (['{"text": "a", "label": "pos "}', '{"text": "b", "label": " pos"}'], ["pos", "pos"]),
    ],
)
def test_slips_in_labels_make_no_new_classes(lines, labels, tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert [row.label for row in read_labelled(tmp_path / "a.jsonl", LabelledConfig())] == labels


def test_labels_that_are_none_and_doubled_columns_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": NaN}\n')
    with pytest.raises(CorpusError, match="line 1: 'label' is nan, no number"):
        read_labelled(tmp_path / "a.jsonl", LabelledConfig())
    (tmp_path / "a.tsv").write_text("text\ttext\tlabel\na\tb\tc\n")
    with pytest.raises(CorpusError, match="has the column 'text' twice"):
        read_labelled(tmp_path / "a.tsv", LabelledConfig())
