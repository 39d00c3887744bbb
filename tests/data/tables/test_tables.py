import bz2
import datetime
import decimal
import gzip
import json
import lzma

import fsspec
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from etils.epath import backend

from bert_jax.data.tables import form_problem, read_table
from bert_jax.data.tables import lines as lines_module
from bert_jax.errors import CorpusError
from tests.test_lock import Bucket


def write(folder, name, content):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def read(path):
    """The values of each record with the end of its place."""
    return [(record.values, record.where.rpartition(", ")[2]) for record in read_table(path)]


ROWS = [({"text": '" a quote', "label": "1"}, "line 2"), ({"text": "Größe", "label": "0"}, "line 4")]
TSV = '\ufefftext\tlabel\r\n" a quote\t1\r\n\r\nGröße\t0'


def test_quotes_mean_nothing_in_tsv(tmp_path):
    assert read(write(tmp_path, "a.tsv", TSV)) == ROWS


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_the_first_bytes_say_how_a_file_is_read(tmp_path, compress, encoding, end):
    content = compress(TSV.removeprefix("\ufeff").replace("\r\n", end).encode(encoding))
    assert read(write(tmp_path, "a.tsv", content)) == ROWS


def test_a_name_may_say_that_a_file_is_compressed(tmp_path):
    assert read(write(tmp_path, "a.tsv.gz", gzip.compress(TSV.encode()))) == ROWS
    with pytest.raises(CorpusError, match=r"a\.tsv\.gz is damaged or cannot be read \(Not a gzipped file"):
        read(write(tmp_path, "a.tsv.gz", TSV))


def test_lines_are_split_alike_wherever_the_file_is_cut(tmp_path, monkeypatch):
    file = write(tmp_path, "a.tsv", TSV)
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(lines_module, "PIECE_BYTES", size)
        assert read(file) == ROWS


def test_csv_has_quotes_with_line_ends_and_names_the_line_where_a_row_begins(tmp_path):
    content = 'text,label\r\n"one, ""two""\r\n\r\nthree",a\r\n\r\n"b\nc\n\nd",\r\nlast "word",e\r\n'
    expected = [('one, "two"\n\nthree', "a", "line 2"), ("b\nc\n\nd", "", "line 6"), ('last "word"', "e", "line 10")]
    assert read(write(tmp_path, "a.csv", content)) == [
        ({"text": text, "label": label}, where) for text, label, where in expected
    ]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_csv_may_be_separated_by_semicolons_and_tabs(tmp_path, mark):
    content = f'"a text, or; a\tname"{mark}label\nx{mark}"1{mark}2"\n'
    assert read(write(tmp_path, "a.csv", content)) == [({"a text, or; a\tname": "x", "label": f"1{mark}2"}, "line 2")]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_in_one_column_an_empty_line_is_an_empty_text(tmp_path, name):
    rows = [text for row, _ in read(write(tmp_path, name, "text\ngood\n\n   \n\u200b\nbad\n")) for text in row.values()]
    assert rows == ["good", "", "   ", "\u200b", "bad"]
    assert len(read(write(tmp_path, name, "text,b\tb,c\n1,2\t3,4\n\n  \n1,2\t3,4\n"))) == 2


def test_plain_text_has_a_text_on_each_line(tmp_path):
    assert read(write(tmp_path, "a.txt", "one\n\ntwo\n")) == [
        ({"text": "one"}, "line 1"),
        ({"text": ""}, "line 2"),
        ({"text": "two"}, "line 3"),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.ndjson.gz"])
def test_json_lines_keep_their_values(tmp_path, name):
    rows = [{"text": "a\u2028b", "n": 1, "f": 0.5, "t": True, "none": None, "list": ["x", 1], "in": {"a": 1}}, {"b": 2}]
    content = "\n\n".join(map(json.dumps, rows)).encode()
    file = write(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
    assert read(file) == [(rows[0], "line 1"), (rows[1], "line 3")]


def test_rows_are_read_when_they_are_asked_for(tmp_path):
    rows = read_table(write(tmp_path, "a.tsv", "text\n" + "one\n" * 1000 + "two\tthree\n"))
    assert [next(rows).values["text"] for _ in range(1000)] == ["one"] * 1000
    with pytest.raises(CorpusError, match="line 1002 has 2 columns"):
        next(rows)


def test_patterns_and_buckets(tmp_path, monkeypatch):
    for part in (2, 1):
        write(tmp_path, f"b/x{part}.tsv", f"text\n{part}\n")
    write(tmp_path, "b/y.jsonl", '{"text": "3"}')
    assert [row["text"] for row, _ in read(tmp_path / "b" / "*")] == ["1", "2", "3"]
    bucket = Bucket(str(tmp_path), fsspec.filesystem("file"))
    monkeypatch.setattr(backend.fsspec_backend, "fs", lambda path: bucket)
    assert [record.where for record in read_table("gs://b/x*.tsv")] == [
        "gs://b/x1.tsv, line 2",
        "gs://b/x2.tsv, line 2",
    ]
    write(tmp_path, "b/x3.tsv", "txt\n1\n")
    with pytest.raises(
        CorpusError, match=r"x3\.tsv and gs://b/x1\.tsv have different columns \('text', 'txt' is in one"
    ):
        list(read_table("gs://b/x*.tsv"))


BIG = "a" * (10 << 20)
LONG = b"".join(
    b'{"text": "%s"}\n' % line.tobytes().hex().encode() for line in np.random.default_rng(0).random((200, 1000))
)
REFUSALS = [
    ("a.tsv", "", r"a\.tsv has no rows, or a header alone"),
    ("a.tsv", "text\tlabel\n\n", r"a\.tsv has no rows, or a header alone"),
    ("a.csv", "text,label\n", r"a\.csv has no rows"),
    ("a.jsonl", "\n\n", r"a\.jsonl has no rows"),
    ("a.tsv", "text\tlabel\ttext\na\tb\tc\n", r"a\.tsv has the column 'text' twice"),
    ("a.csv", "text, text\na,b\n", r"a\.csv has the column 'text' twice"),
    ("a.jsonl", '{"text": "a", "in": {"b": 1, "b": 2}}', r"a\.jsonl, line 1 holds 'b' twice"),
    ("a.tsv", "text\tlabel\na\tb\n\na\n", r"line 4 has 1 column, but the header has 2: correct the row; a value"),
    ("a.tsv", 'text\tlabel\n"a\tb"\tc\n', r"line 2 has 3 columns.*: quotes mean nothing in a \.tsv"),
    ("a.csv", "text,label\na,b,c\n", r"line 2 has 3 columns, but the header has 2: correct the row, or put quotes"),
    ("a.csv", 'text,label\na,b\n"a,b\nc,d\n', r"line 3 begins a row that cannot be read \(unexpected end of data\)"),
    ("a.csv", 'text,label\n\n"a"b,c\n', r"line 3 begins a row that cannot be read"),
    ("a.csv", f'text,label\n"a,b\n{BIG}\n', r"line 2 begins a row of more than 10 MiB: close its quotes"),
    ("a.tsv", f"text\n{BIG}aa", r"a\.tsv, line 2 begins a row of more than 10 MiB"),
    ("a.tsv", "text\none\nGröße\n".encode("latin-1"), r"line 3 is not UTF-8 \(byte 0xf6\).*cp1252.* if 'Größe'"),
    ("a.tsv.gz", gzip.compress("Größe\n".encode("latin-1")), r"line 1 is not UTF-8.*`zcat -f a\.tsv\.gz \| iconv"),
    ("a.tsv", ("text\n" + "one\n" * 999).encode("utf-16-le"), r"UTF-16-LE without a byte.*`iconv -f utf-16-le"),
    ("a.tsv", "text\none\nt\0wo\n", r"line 3 holds a NUL byte"),
    ("a.tsv", b"PK\x03\x04 and more", r"a\.tsv is a zip archive: unpack it"),
    ("a.tsv", b"PAR1 and more", r"a\.tsv is a parquet file: .*name it \.parquet"),
    ("a.tsv", "version https://git-lfs.github.com/spec/v1\n", r"a\.tsv is a Git LFS pointer"),
    ("a.jsonl.gz", gzip.compress(LONG)[:-60], r"a\.jsonl\.gz is damaged or cannot be read after line \d+ \(Compressed"),
    ("a.jsonl", '{"a": 1}\n{"text": "a}\n', r"line 2 is not JSON \(Unterminated string.*jq -c"),
    ("a.jsonl", '[{"text": "a"}]\n', r"line 1 is not a JSON object.*jq -c '\.\[\]'"),
    ("a.json", '[\n {"text": "a"}\n]\n', r"line 1 is not JSON .*: each line must be an object; `jq -c '\.\[\]'`"),
    ("a.jsonl", '{"a": NaN}', r"line 1 holds NaN, which is no number"),
    ("a.jsonl", '{"a": [-Infinity]}', r"line 1 holds -Infinity, which is no number"),
    ("a.jsonl", '{"a": 1e999}', r"line 1 holds 1e999, which is no number"),
    ("a.jsonl", '{"a": ' + "1" * 9999 + "}", r"line 1 is not JSON \(too long a number"),
    ("a.jsonl", '{"a": ' + "[" * 99999, r"line 1 is not JSON \(too long a number or too deep"),
    ("a.jsonl", '{"a": "\\ud83d"}', r"line 1 holds half of a surrogate pair"),
    ("a.xlsx", "", r"a\.xlsx is a spreadsheet: save it as CSV in UTF-8"),
    ("a.conll", "a\tb\n", r"a\.conll has the ending '\.conll', which is none of \.tsv, \.csv"),
    ("a.parquet", "text", r"a\.parquet is damaged or cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), REFUSALS, ids=range(len(REFUSALS)))
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, name, content, message):
    file = write(tmp_path, name, content)
    with pytest.raises(CorpusError, match=message) as raised:
        list(read_table(file))
    assert "\n" not in str(raised.value)


def test_missing_files_and_folders_are_named_at_once(tmp_path):
    for path, message in (
        ("none.tsv", "There is no file"),
        ("*.tsv", "matches no file"),
        ("", "is a folder: say which"),
    ):
        with pytest.raises(CorpusError, match=message):
            read_table(f"{tmp_path}/{path}")


def test_forms_are_told_by_names_alone():
    assert form_problem("data.train", "gs://b/x.TSV.gz") == form_problem("data.train", "tfds:glue/sst2:train") == []
    assert form_problem("data.train", "x.doc")[0].startswith("data.train=x.doc has the ending '.doc', which is none of")


HUGGING_FACE = {
    "info": {
        "features": {
            "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
            "tags": {"feature": {"names": ["O", "B-X"], "_type": "ClassLabel"}, "_type": "Sequence"},
            "lists": [{"_type": "Value"}],
            "text": {"dtype": "string", "_type": "Value"},
        }
    }
}


def write_parquet(tmp_path, columns, metadata=None):
    table = columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns)
    table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)}) if metadata else table
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    return tmp_path / "a.parquet"


def test_parquet_rows_are_like_those_of_json(tmp_path):
    columns = {
        "text": pyarrow.array(["Été", None]).dictionary_encode(),
        "n": [1, None],
        "f": [0.5, 1.0],
        "ok": [True, False],
        "list": [["a", "b"], []],
        "in": [{"a": 1}, None],
        "day": [datetime.date(2020, 1, 2), None],
        "price": [decimal.Decimal("1.50"), None],
        "raw": [b"x", None],
    }
    first = {"text": "Été", "n": 1, "f": 0.5, "ok": True, "list": ["a", "b"], "in": {"a": 1}}
    first |= {"day": "2020-01-02", "price": "1.50", "raw": "x"}
    found = read(write_parquet(tmp_path, columns))
    assert found[0] == (first, "row 1")
    assert found[1] == (dict.fromkeys(columns) | {"f": 1.0, "ok": False, "list": []}, "row 2")


def test_classes_in_parquet_have_their_names(tmp_path):
    columns = {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], [0]], "lists": [[1]] * 3}
    rows = [row for row, _ in read(write_parquet(tmp_path, columns, HUGGING_FACE))]
    assert [row["label"] for row in rows] == ["pos", "neg", None]
    assert [row["tags"] for row in rows] == [["O", "B-X"], [], ["O"]]
    with pytest.raises(CorpusError, match=r"a\.parquet, row 2 has the class 2, but only 2 classes have names"):
        list(read_table(write_parquet(tmp_path, {"label": [1, 2]}, HUGGING_FACE)))


def test_large_parquet_files_are_read_in_parts(tmp_path):
    file = write_parquet(tmp_path, {"text": [str(i) for i in range(1000)]})
    assert read(file) == [({"text": str(i)}, f"row {i + 1}") for i in range(1000)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": pyarrow.array([b"a", b"\xe9"]).view(pyarrow.string())}, r"row 2: the column 'text' holds bytes that"),
        ({"text": ["a", BIG]}, r"a\.parquet, row 2 begins a row of more than 10 MiB"),
        (pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 2, ["text", "text"]), "has the column 'text' twice"),
        ({"text": pyarrow.array([], pyarrow.string())}, "has no rows"),
    ],
)
def test_parquet_that_cannot_be_read_is_named_with_its_row(tmp_path, columns, message):
    with pytest.raises(CorpusError, match=message):
        list(read_table(write_parquet(tmp_path, columns)))
