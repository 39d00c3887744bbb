import collections
import datetime
import re

import pyarrow
import pyarrow.parquet
import pytest

from bert_jax.corpus.builder import reading, sources
from bert_jax.errors import CorpusError

TEXTS = [f"Row {i}." for i in range(6)]
BAD = pyarrow.array([*(text.encode() for text in TEXTS[:5]), b"R\xc9UNION."], pyarrow.binary())


def read(tmp_path, columns, keys=""):
    """The ids and texts of a file with these columns, and the counts."""
    table = columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns)
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    counts = collections.Counter()
    (source,) = sources.parse([f"parquet{keys}:{tmp_path}/a.parquet"], "en")
    found = [d for unit in sources.units(source) for d in reading.documents(unit, counts)]
    return [(d.id, d.language, d.text) for d in found], counts


@pytest.mark.parametrize(
    "column",
    [
        BAD.view(pyarrow.string()),
        BAD.view(pyarrow.string()).dictionary_encode(),
        BAD.cast(pyarrow.binary_view()).view(pyarrow.string_view()),
        BAD.cast(pyarrow.large_binary()).view(pyarrow.large_string()),
        BAD,
    ],
    ids=lambda column: str(column.type),
)
def test_bad_utf8_is_replaced_in_columns_of_every_kind(tmp_path, column):
    found, counts = read(tmp_path, {"text": column})
    assert [text for *_, text in found] == [*TEXTS[:5], "R\ufffdUNION."]
    assert counts == {"replaced_characters": 1}


def test_a_field_of_a_record_is_a_column(tmp_path):
    documents = [{"text": text, "meta": {"lang": "de"}} for text in TEXTS] + [None]
    found, counts = read(tmp_path, {"doc": documents}, "[text=doc.text,lang_field=doc.meta.lang]")
    assert [(language, text) for _, language, text in found] == [("de", text) for text in TEXTS]
    assert counts == {"empty_documents": 1}
    found, _ = read(tmp_path, {"doc.text": TEXTS, "doc": TEXTS[::-1]}, "[text=doc.text]")
    assert [text for *_, text in found] == TEXTS


@pytest.mark.parametrize(
    ("ids", "first"),
    [
        (pyarrow.array([1_700_000_000_123_456_789] * 6, pyarrow.timestamp("ns")), "2023-11-14 22:13:20.123456789"),
        (pyarrow.array([253_402_300_800] * 6, pyarrow.timestamp("s")), "10000-01-01 00:00:00.000"),
        ([datetime.date(2023, 11, 14)] * 6, "2023-11-14"),
        ([1.5] * 6, "1.5"),
        ([["a", "b"]] * 6, "['a', 'b']"),
        ([b"k\xe9y"] * 6, "k\ufffdy"),
        ([""] * 6, "a.parquet:0"),
        ([None] * 6, "a.parquet:0"),
    ],
)
def test_ids_may_be_anything(tmp_path, ids, first):
    assert read(tmp_path, {"text": TEXTS, "id": ids})[0][0][0] == first


@pytest.mark.parametrize(
    ("columns", "keys", "message"),
    [
        ({"text": [[text] for text in TEXTS]}, "", "the column 'text' holds list<element: string>, not text"),
        ({"text": [{"body": text} for text in TEXTS]}, "", "its columns of text: text.body"),
        ({"body": TEXTS}, "[text=body.text]", "has no column 'body.text'"),
        (
            {"text": TEXTS, "lang": range(6)},
            "",
            "the column 'lang' holds int64, not text: give another, as in parquet[lang",
        ),
        (pyarrow.Table.from_arrays([pyarrow.array(TEXTS)] * 2, ["text", "text"]), "", "has two columns 'text'"),
    ],
)
def test_a_column_that_cannot_be_read_is_named(tmp_path, columns, keys, message):
    with pytest.raises(CorpusError, match=re.escape(message)):
        read(tmp_path, columns, keys)
    if "lang" in message:
        assert len(read(tmp_path, columns, "[lang_field=none]")[0]) == 6


def test_a_damaged_page_is_placed(tmp_path):
    pyarrow.parquet.write_table(
        pyarrow.table({"text": TEXTS * 100}), tmp_path / "a.parquet", compression="none", use_dictionary=False
    )
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[400:404] = b"\xff\xff\xff\x7f"
    (tmp_path / "a.parquet").write_bytes(content)
    (source,) = sources.parse([f"parquet:{tmp_path}/a.parquet"], "en")
    (unit,) = sources.units(source)
    with pytest.raises(CorpusError, match=r"a.parquet is damaged or cannot be read after row \d+ of row group 0 \("):
        list(reading.documents(unit, collections.Counter()))
