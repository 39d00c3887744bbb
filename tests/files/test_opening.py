import bz2
import collections
import gzip
import json
import lzma

import pytest

from bert_jax.corpus.builder import reading, sources
from bert_jax.errors import CorpusError
from bert_jax.files import opening

GERMAN = "Größe und Maß.\nZweiter Satz, für alle.\n\n" * 50
RUSSIAN = "Это первая строка текста.\nА это вторая.\n\n" * 50


def read(spec):
    """The text of all documents of a source, and the counts."""
    counts = collections.Counter()
    (source,) = sources.parse([spec], "en")
    documents = [d for unit in sources.units(source) for d in reading.documents(unit, counts)]
    return "\n\n".join(d.text.strip() for d in documents), +counts


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_the_first_bytes_say_how_to_read_a_file_of_any_name(tmp_path, compress, encoding):
    for text in (GERMAN, RUSSIAN):
        (tmp_path / "a.txt").write_bytes(compress(text.encode(encoding)))
        found, counts = read(f"text:{tmp_path}/a.txt")
        assert found == text.strip()
        assert not counts["replaced_characters"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(GERMAN, "latin-1"), (RUSSIAN, "cp1251"), (RUSSIAN, "utf-16-be"), ("今天天气。\n\n" * 50, "gbk")],
)
def test_a_named_encoding_is_read_and_without_its_name_refused(tmp_path, text, encoding):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert read(f"text[encoding={encoding}]:{tmp_path}/a.txt") == (text.strip(), {})
    with pytest.raises(CorpusError, match="encoding=" + (encoding if encoding.startswith("utf") else "cp1252")):
        read(f"text:{tmp_path}/a.txt")
    (tmp_path / "a.jsonl").write_bytes((json.dumps({"text": text.strip()}, ensure_ascii=False) + "\n").encode(encoding))
    assert read(f"jsonl[encoding={encoding}]:{tmp_path}/a.jsonl")[0] == text.strip()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [GERMAN, RUSSIAN])
def test_a_missing_byte_order_mark_is_noticed(tmp_path, encoding, text):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with pytest.raises(CorpusError, match=f"without a byte-order mark.*encoding={encoding}"):
        read(f"text:{tmp_path}/a.txt")


def test_bytes_that_an_encoding_lacks_are_replaced_and_counted(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\x81a\x8d ".join([b"one"] * 3))
    assert read(f"text[encoding=cp1252]:{tmp_path}/a.txt") == (
        "one\ufffda\ufffd one\ufffda\ufffd one",
        {"replaced_characters": 4},
    )
    (tmp_path / "b.txt").write_bytes("a\ud800b c".encode("utf-16-le", "surrogatepass") + b"x")
    assert read(f"text[encoding=utf-16-le]:{tmp_path}/b.txt") == ("a\ufffdb c\ufffd", {"replaced_characters": 2})


@pytest.mark.parametrize("magic", opening.NO_TEXT)
def test_files_that_are_no_text_are_named_by_what_they_are(tmp_path, magic):
    (tmp_path / "a.txt").write_bytes(magic + b"some more bytes\n" * 9)
    with pytest.raises(CorpusError, match=r"a\.txt is (compressed|a )"):
        read(f"text[encoding=latin-1]:{tmp_path}/a.txt")


def test_binary_files_are_refused_unless_an_encoding_is_given(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 90)
    (tmp_path / "b.bin").write_bytes(bytes([0, 0, 5, 0, 0, 0, 9, 200, 0]) * 900)
    for name, said in (("a", "is not UTF-8"), ("b", "binary data")):
        with pytest.raises(CorpusError, match=said):
            read(f"text:{tmp_path}/{name}.bin")
    assert read(f"text[encoding=utf-8]:{tmp_path}/a.bin")[1]["replaced_characters"] > 90


def test_some_invalid_bytes_in_a_text_are_not_another_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes((GERMAN.encode() + b"one \xff here\n\n") * 3)
    assert read(f"text:{tmp_path}/a.txt")[1] == {"replaced_characters": 3}


def test_a_character_at_the_end_of_the_first_bytes_may_be_cut(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x" * (opening.HEAD_BYTES - 1) + "é".encode())
    assert read(f"text:{tmp_path}/a.txt")[0].endswith("é")


def test_large_converted_files_are_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "BUFFER_BYTES", 7)
    monkeypatch.setattr(sources, "RANGE_BYTES", 100)
    (tmp_path / "a.txt").write_bytes(GERMAN.encode("latin-1"))
    assert read(f"text[encoding=latin-1]:{tmp_path}/a.txt")[0] == GERMAN.strip()


def test_unknown_encodings_are_named():
    for name in ("latin-l", "hex"):
        with pytest.raises(CorpusError, match=f"encoding={name} is no encoding"):
            sources.parse([f"text[encoding={name}]:x"], "en")
