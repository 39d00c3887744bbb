import collections
import gzip

import pytest

from bert_jax.corpus.builder import comma_separated, reading, sources
from bert_jax.errors import CorpusError


def read(tmp_path, content, spec="csv"):
    """The documents of a file."""
    (tmp_path / "a").write_bytes(content if isinstance(content, bytes) else content.encode())
    (source,) = sources.parse([f"{spec}:{tmp_path}/a"], "en")
    return [d for unit in sources.units(source) for d in reading.documents(unit, collections.Counter())]


def test_columns_are_found_by_their_names(tmp_path):
    content = '\ufeffkey,text,lang\r\n7,"One, ""two"".\nThree.",de\r\n\r\n,"",\r\nx,Four.,\r\n'
    found = read(tmp_path, content, "csv[id=key,lang=fr]")
    assert [(d.id, d.language, d.text) for d in found] == [("7", "de", 'One, "two".\nThree.'), ("x", "fr", "Four.")]
    assert [d.id for d in read(tmp_path, content)] == ["a:0", "a:2"]


def test_columns_without_a_header_have_numbers(tmp_path):
    found = read(tmp_path, "A;7\nB;8\n", "csv[header=no,text=1,id=2,delimiter=;]")
    assert [(d.id, d.text) for d in found] == [("7", "A"), ("8", "B")]


def test_quotes_in_tsv_are_quotes_unless_they_mean_something(tmp_path):
    assert [d.text for d in read(tmp_path, 'id\ttext\n1\t"One" she said.\n', "tsv")] == ['"One" she said.']
    assert [d.text for d in read(tmp_path, 'id\ttext\n1\t"One\nTwo"\n', "tsv[quotes=yes]")] == ["One\nTwo"]


def test_compressed_and_damaged_text_is_read(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress("text\nÉté\n".encode() + b"R\xc9UNION\n"))
    counts = collections.Counter()
    (source,) = sources.parse([f"csv:{tmp_path}/a.csv.gz"], "en")
    (unit,) = sources.units(source)
    assert [d.text for d in reading.documents(unit, counts)] == ["Été", "R\ufffdUNION"]
    assert counts == {"replaced_characters": 1}


@pytest.mark.parametrize(
    ("content", "spec", "message"),
    [
        ("body,id\nA,1\n", "csv", r"has no column 'text': give csv\[text=…\]:.*, one of body, id"),
        ("text;id\nA;1\n", "csv", r"or another delimiter, as in csv\[delimiter=;\]"),
        ("text,text\nA,B\n", "csv", "has two columns 'text'"),
        ("text,id\nA,1\nB, or C,2\n", "csv", "line 3, has 3 fields, but the header has 2: check the delimiter, put"),
        ("text,id\n\nA\n", "csv", "line 3, has 1 fields"),
        ('text,id\nA,1\n"B,2\nC,3\n', "csv", r"line 3, begins a row that cannot be read \(unexpected end of data\)"),
        ('text,id\n"A"B,1\n', "csv", r"csv\[quotes=no\] if quotes mean nothing"),
        ("text\tid\nA\n", "tsv", "line 2, has 1 fields"),
        ("text\n" + "x" * 2000, "csv", "line 2, is longer than"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, monkeypatch, content, spec, message):
    monkeypatch.setattr(comma_separated, "FIELD_BYTES", 1000)
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, content, spec)
