import collections
import gzip
import json
import random
import re
import tracemalloc

import numpy as np
import pytest

from bert_jax.corpus.builder import reading, sources
from bert_jax.errors import CorpusError


def read(spec):
    """All documents of a source, and the counts."""
    counts = collections.Counter()
    (source,) = sources.parse([spec], "en")
    return [d for unit in sources.units(source) for d in reading.documents(unit, counts)], counts


def paragraphs(documents):
    return [(d.id, [line for line in d.text.split("\n") if line]) for d in documents]


def test_text_is_split_at_blank_lines(tmp_path):
    (tmp_path / "a.txt").write_text("One.\nTwo.\n\n \n\u3000\nThree.\n")
    documents, _ = read(f"text:{tmp_path}/*.txt")
    assert paragraphs(documents) == [("a.txt:0", ["One.", "Two."]), ("a.txt:17", ["Three."])]


def test_a_line_may_be_a_document(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("One. Two.\n\n \nThree.\r\nFour.")
    documents, counts = read(f"text[documents=lines]:{tmp_path}/*.txt")
    assert paragraphs(documents) == [("a.txt:0", ["One. Two."]), ("a.txt:13", ["Three."]), ("a.txt:21", ["Four."])]
    monkeypatch.setattr(reading, "LINE_BYTES", 5)
    documents, counts = read(f"text[documents=lines]:{tmp_path}/*.txt")
    assert [(d.id, d.part, d.text) for d in documents[:2]] == [("a.txt:0", 0, "One. "), ("a.txt:0", 1, "Two.\n")]
    assert counts["cut_lines"] == 3


def test_a_file_may_be_a_document(tmp_path, monkeypatch):
    for name, content in (("a.txt", "One.\n\nTwo.\n"), ("b.txt", " \n"), ("c.txt", "Three.")):
        (tmp_path / name).write_text(content)
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"Four.\n\nFive."))
    expected = [("a.txt", ["One.", "Two."]), ("c.txt", ["Three."]), ("d.txt.gz", ["Four.", "Five."])]
    for size, units in ((1 << 20, 1), (12, 2), (1, 4)):
        monkeypatch.setattr(sources, "RANGE_BYTES", size)
        (source,) = sources.parse([f"text[documents=files]:{tmp_path}/*"], "en")
        assert len(sources.units(source)) == units
        documents, counts = read(f"text[documents=files]:{tmp_path}/*")
        assert paragraphs(documents) == expected
        assert +counts == {"empty_documents": 1}


def test_jsonl_keeps_id_and_language(tmp_path):
    lines = ['{"text": "Hallo.", "id": "x", "lang": "de"}', '{"text": " "}', '{"text": "B", "id": null, "lang": null}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    documents, counts = read(f"jsonl:{tmp_path}/a.jsonl")
    assert [(d.id, d.language) for d in documents] == [("x", "de"), ("a.jsonl:58", "en")]
    assert counts["empty_documents"] == 1
    assert [d.language for d in read(f"jsonl[lang=fr]:{tmp_path}/a.jsonl")[0]] == ["de", "fr"]


def test_fields_have_the_names_that_are_given(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"body": "A", "key": 7}\n')
    assert [(d.id, d.text) for d in read(f"jsonl[text=body,id=key]:{tmp_path}/a.jsonl")[0]] == [("7", "A")]


def test_ids_may_be_long_or_empty(tmp_path):
    lines = ['{"text": "A", "id": %s}' % ("9" * 5000), '{"text": "B", "id": ""}', '{"text": "C", "id": " \\ufeff"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert [d.id for d in read(f"jsonl:{tmp_path}/a.jsonl")[0]] == ["9" * 5000, "a.jsonl:5022", "a.jsonl:5046"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a",}', "is not valid JSON (Expecting property name enclosed in double quotes, column 14)"),
        ('{"text": "a"}{"text": "b"}', "is not valid JSON (Extra data, column 14)"),
        ('[{"text": "a"},', "begins an array"),
        ('[{"text": "a"}]', "is a list, not a JSON object"),
        ("[" * 10**5, "is nested too deeply"),
        ('{"text": 7}', "has a number in its field 'text', not text"),
        ('{"text": null}', "has null in its field 'text'"),
        ('{"body": "a"}', "has no field 'text' (its fields: body): correct it, or name the field, as in jsonl[text=…]"),
        ('{"text": "a", "lang": ["en"]}', "has a list in its field 'lang', not the code of a language"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(tmp_path, line, message):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' + line + "\n")
    with pytest.raises(CorpusError, match=r"a.jsonl, line 2, " + re.escape(message)):
        read(f"jsonl:{tmp_path}/a.jsonl")
    if "lang" in line:
        assert len(read(f"jsonl[lang_field=none]:{tmp_path}/a.jsonl")[0]) == 2


@pytest.mark.parametrize("line", ["{", "[]", '{"txt": "a"}', '{"text": null}', '{"text": "a", "lang": 3}', "[" * 10**5])
def test_a_bad_line_is_named(tmp_path, line, monkeypatch):
    monkeypatch.setattr(sources, "RANGE_BYTES", 10)
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' + line + "\n")
    with pytest.raises(CorpusError, match="line 2,"):
        read(f"jsonl:{tmp_path}/a.jsonl")


def random_text(rng):
    """Lines and blank lines of all kinds and lengths."""
    lines = ["", " ", "\u3000", "\ufeff", "\r", "a", "été", "今天天气很好。", "word " * 20, "x" * 90]
    return "\n".join(rng.choice(lines) for _ in range(rng.randrange(120))) + rng.choice(["", "\n", "\n\n"])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["text", "text[documents=lines]", "jsonl"])
def test_ranges_change_nothing(tmp_path, monkeypatch, seed, kind):
    rng = random.Random(seed)
    content = random_text(rng)
    if kind == "jsonl":
        rows = [
            json.dumps({"text": line}, ensure_ascii=False) if line.strip() else line for line in content.split("\n")
        ]
        content = "\n".join(rows).replace("\ufeff", "")
    (tmp_path / "a").write_bytes(content.encode())
    monkeypatch.setattr(reading, "LINE_BYTES", 64)
    whole, counts = read(f"{kind}:{tmp_path}/a")
    for size in (1, 7, 50, 333):
        monkeypatch.setattr(sources, "RANGE_BYTES", size)
        assert read(f"{kind}:{tmp_path}/a") == (whole, counts)
    # Every character of every document is there once.
    expected = "".join(content.split()).replace("\ufeff", "")
    got = "".join("".join(d.text.split()) for d in whole)
    assert kind == "jsonl" or got == expected


@pytest.mark.parametrize("kind", ["text", "jsonl"])
def test_compressed_files_read_the_same(tmp_path, kind):
    content = "".join(f'{{"text": "Number {i}."}}\n' + "\n" * (i % 3 == 0) for i in range(50)).encode()
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    plain, packed = read(f"{kind}:{tmp_path}/a")[0], read(f"{kind}:{tmp_path}/a.gz")[0]
    assert [d.text for d in plain] == [d.text for d in packed]
    assert len(plain) > 10


def test_a_damaged_compressed_file_is_named(tmp_path):
    content = gzip.compress(b"One.\n\n" * 1000)
    for damaged in (content[:-20], b"no gzip", content[:15] + b"\xff\xff" + content[17:]):
        (tmp_path / "a.txt.gz").write_bytes(damaged)
        with pytest.raises(CorpusError, match=r"a.txt.gz is damaged"):
            read(f"text:{tmp_path}/a.txt.gz")


@pytest.mark.parametrize("kind", ["text", "jsonl"])
def test_weird_bytes_follow_the_policy(tmp_path, kind):
    weird = b"\xef\xbb\xbfa\x00b \xff c\r\n"
    line = weird if kind == "text" else b'\xef\xbb\xbf{"text": "a\x00b \xff \\ud800c"}\r\n'
    (tmp_path / "a").write_bytes(line)
    (document,), counts = read(f"{kind}:{tmp_path}/a")
    assert document.text.strip() == ("ab \ufffd c" if kind == "text" else "ab \ufffd \ufffdc")
    assert counts["replaced_characters"] == (1 if kind == "text" else 2)
    assert counts["control_characters"] >= 1


def test_long_lines_and_documents_are_cut_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LINE_BYTES", 100)
    monkeypatch.setattr(reading, "DOCUMENT_CHARACTERS", 1000)
    content = "é" * 120 + "\n" + "word " * 10 + "\n"
    (tmp_path / "a.txt").write_text(content * 20)
    documents, counts = read(f"text:{tmp_path}/a.txt")
    assert "".join("".join(d.text.split()) for d in documents) == "".join((content * 20).split())
    assert max(len(d.text) for d in documents) <= 1000
    assert {d.id for d in documents} == {"a.txt:0"}
    assert [d.part for d in documents] == list(range(len(documents)))
    assert counts == {"cut_lines": 40, "cut_documents": len(documents) - 1}


def test_a_long_record_is_cut_at_line_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "DOCUMENT_CHARACTERS", 100)
    lines = ["one line of text"] * 50 + ["x" * 250]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "\n".join(lines), "id": "long"}))
    documents, counts = read(f"jsonl:{tmp_path}/a.jsonl")
    assert "".join(d.text for d in documents) == "\n".join(lines)
    assert max(len(d.text) for d in documents) <= 100
    assert counts == {"cut_documents": len(documents) - 1}
    assert all(line in {"", "one line of text"} for d in documents[:8] for line in d.text.split("\n"))


def test_a_record_too_long_to_hold_is_left_out_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "RECORD_BYTES", 100)
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n' + json.dumps({"text": "b" * 500}) + '\n{"text": "c"}\n')
    for size in (1 << 20, 7):
        monkeypatch.setattr(sources, "RANGE_BYTES", size)
        documents, counts = read(f"jsonl:{tmp_path}/a.jsonl")
        assert [d.text for d in documents] == ["a", "c"]
        assert counts == {"oversized_records": 1}


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_long_file_takes_little_memory(tmp_path, end):
    with (tmp_path / "a.txt").open("wb") as file:
        for _ in range(48_000):
            file.write(b"word " * 200 + end)  # 48 MB: one line, or one document
    (source,) = sources.parse([f"text:{tmp_path}/a.txt"], "en")
    tracemalloc.start()
    parts = (d for unit in sources.units(source) for d in reading.documents(unit, collections.Counter()))
    characters = sum(d.text.count("o") for d in parts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert characters == 48_000 * 200
    assert peak < 24 << 20


@pytest.fixture
def parquet_file(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(
        {
            "body": pyarrow.array([f"Row {i}." if i % 5 else None for i in range(20)]),
            "key": list(range(100, 120)),
            "lang": ["de" if i == 1 else None for i in range(20)],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=8)
    return tmp_path / "a.parquet"


def test_parquet_is_read_by_row_groups(parquet_file):
    (source,) = sources.parse([f"parquet[text=body]:{parquet_file}"], "en")
    assert [(u.part, u.begin, u.end) for u in sources.units(source)] == [("0", 0, 8), ("1", 8, 16), ("2", 16, 20)]
    documents, counts = read(f"parquet[text=body]:{parquet_file}")
    assert [(d.id, d.text) for d in documents] == [(f"a.parquet:{i}", f"Row {i}.") for i in range(20) if i % 5]
    assert [d.language for d in documents[:2]] == ["de", "en"]
    assert counts == {"empty_documents": 4}
    assert read(f"parquet[text=body,id=key]:{parquet_file}")[0][0].id == "101"


def test_parquet_without_the_field_names_those_there_are(parquet_file):
    with pytest.raises(CorpusError, match="its columns of text: body, lang"):
        read(f"parquet:{parquet_file}")
    with pytest.raises(CorpusError, match="holds int64, not text"):
        read(f"parquet[text=key]:{parquet_file}")
    parquet_file.write_bytes(b"no parquet")
    with pytest.raises(CorpusError, match="is damaged or cannot be read"):
        read(f"parquet:{parquet_file}")


@pytest.fixture
def dataset(tmp_path):
    """A folder in TFDS' form, with texts in the field `body`."""
    import tensorflow_datasets as tfds
    from array_record.python import array_record_module

    features = tfds.features.FeaturesDict({"body": tfds.features.Text(), "label": tfds.features.Scalar(np.int64)})
    infos, template = [], "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    for split, count in (("train", 100), ("test", 5)):
        file = tmp_path / f"small-{split}.array_record-00000-of-00001"
        writer = array_record_module.ArrayRecordWriter(str(file), "group_size:1")
        for i in range(count):
            writer.write(features.serialize_example({"body": f"Été {i}.", "label": i}))
        writer.close()
        name = tfds.core.ShardedFileTemplate(
            data_dir=tmp_path, template=template, dataset_name="small", split=split, filetype_suffix="array_record"
        )
        infos.append(
            tfds.core.SplitInfo(name=split, shard_lengths=[count], num_bytes=30 * count, filename_template=name)
        )
    tfds.folder_dataset.write_metadata(
        data_dir=tmp_path, features=features, split_infos=infos, filename_template=template, check_data=False
    )
    return tmp_path


def test_datasets_are_read_in_runs_of_records(dataset, monkeypatch):
    whole, _ = read(f"tfds[text=body,id=label]:{dataset}")
    assert sorted(int(d.id) for d in whole) == list(range(100))
    assert all(d.text == f"Été {d.id}." for d in whole)
    monkeypatch.setattr(sources, "RANGE_BYTES", 300)
    (source,) = sources.parse([f"tfds[text=body,id=label]:{dataset}"], "en")
    assert len(sources.units(source)) > 3
    assert read(f"tfds[text=body,id=label]:{dataset}")[0] == whole
    assert len(read(f"tfds[text=body]:{dataset}:test")[0]) == 5
    assert len(read(f"tfds[text=body]:{dataset}:train[:10%]")[0]) == 10


def test_datasets_without_field_or_split_say_what_there_is(dataset):
    with pytest.raises(CorpusError, match="one of body, label"):
        read(f"tfds:{dataset}")
    with pytest.raises(CorpusError, match="has no such split: give one of"):
        read(f"tfds[text=body]:{dataset}:dev")
