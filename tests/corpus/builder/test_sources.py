import gzip

import pytest

from bert_jax.corpus.builder import sources
from bert_jax.errors import CorpusError


def parse(*specs):
    return sources.parse(specs, "en")


def units(spec):
    (source,) = parse(spec)
    return sources.units(source)


def test_a_spec_says_everything():
    (source,) = parse("de=jsonl[text=body,id=key,lang=de]:data/de/*.jsonl.gz")
    assert (source.name, source.kind, source.pattern) == ("de", "jsonl", "data/de/*.jsonl.gz")
    assert (source.text, source.id, source.language) == ("body", "key", "de")


def test_without_keys_there_are_defaults():
    (source,) = sources.parse(["text:a.txt"], "fr")
    assert (source.name, source.text, source.id, source.language) == ("a", "text", "id", "fr")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("docstrings", "docstrings"),
        ("text:data/news/*.txt", "news"),
        ("text:data/news/**/a?.txt", "news"),
        ("text:data/my news.v2/*.txt", "my-news-v2"),
        ("jsonl:gs://bucket/wiki/part0.jsonl.gz", "part0"),
        ("text:*.txt", "text"),
        ("tfds:wikipedia/20230601.en:train[:10%]", "wikipedia-20230601-en"),
    ],
)
def test_default_names_are_readable(spec, name):
    assert parse(spec)[0].name == name


@pytest.mark.parametrize(
    ("specs", "names"),
    [
        (("jsonl:en/docs.jsonl", "jsonl:de/docs.jsonl"), ["en-docs", "de-docs"]),
        (("text:docs.txt", "jsonl:docs.jsonl"), ["docs-txt", "docs-jsonl"]),
        (("text:en/text/*.txt", "text:de/text/*.txt", "text:de/other/*.txt"), ["en-text", "de-text", "other"]),
        (("text:a/b/x.txt", "x=text:c/x.txt", "text:d/b/x.txt"), ["a-b-x", "x", "d-b-x"]),
        (("text:a/x.txt", "text:a/x.txt", "text:a/x.txt"), ["x", "x-2", "x-3"]),
        (("tfds:wiki:train[:10%]", "tfds:wiki:test"), ["wiki-train-10", "wiki-test"]),
    ],
)
def test_default_names_tell_sources_apart(specs, names):
    assert [source.name for source in parse(*specs)] == names


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["texts:x"], "is not one of docstrings, text:GLOB"),
        (["text:"], "is not one of"),
        (["text"], "is not one of"),
        (["docstrings:x"], "is not one of"),
        (["csv"], "is not one of"),
        (["a b=text:x"], "letters, digits"),
        (["=text:x"], "letters, digits"),
        (["a=text:x", "a=text:y"], "the name a is taken"),
        (["text[text=body]:x"], r"text takes \[documents=…, lang=…, encoding=…\], not text=body"),
        (["jsonl[txt=body]:x"], r"jsonl takes \[text=…, id=…, lang_field=…, lang=…, encoding=…\], not txt=body"),
        (["jsonl[text]:x"], "not text"),
        (["text[documents=line]:x"], "documents='line' is not one of blank_lines, lines, files. Did you mean lines?"),
        (["csv[delimiter=||]:x"], "must be one character"),
    ],
)
def test_a_wrong_spec_says_what_is_allowed(specs, message):
    with pytest.raises(CorpusError, match=message):
        parse(*specs)


def test_patterns_find_files_in_order_and_without_hidden_ones(tmp_path):
    for name in ("b/2.txt", "a/1.txt", "a/.hidden.txt", "0.txt", ".git/x.txt", "a/other.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("One.")
    assert [name for u in units(f"text:{tmp_path}/**/*.txt") for _, name in u.files] == ["0.txt", "a/1.txt", "b/2.txt"]
    assert [name for u in units(f"text:{tmp_path}/a/*.txt") for _, name in u.files] == ["1.txt"]
    assert [name for u in units(f"text:{tmp_path}/*/*.txt") for _, name in u.files] == ["a/1.txt", "b/2.txt"]


def test_a_file_with_a_bracket_in_its_name_is_a_file(tmp_path):
    (tmp_path / "a[1].txt").write_text("One.")
    assert len(units(f"text:{tmp_path}/a[1].txt")) == 1


def test_a_pattern_that_matches_nothing_is_refused(tmp_path):
    for pattern in (f"{tmp_path}/*.none", f"{tmp_path}/none/*.txt", f"{tmp_path}/none.txt"):
        with pytest.raises(CorpusError, match="matches no file"):
            units(f"text:{pattern}")
    with pytest.raises(CorpusError, match="is a folder"):
        units(f"text:{tmp_path}")


def test_big_plain_files_are_cut_and_compressed_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "RANGE_BYTES", 10)
    (tmp_path / "a.txt").write_bytes(b"x" * 25)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"x" * 25))
    assert [(u.begin, u.end) for u in units(f"text:{tmp_path}/a.txt")] == [(0, 10), (10, 20), (20, 25)]
    assert [(u.begin, u.end) for u in units(f"text:{tmp_path}/b.txt.gz")] == [(0, -1)]


def test_the_fingerprint_is_that_of_names_and_sizes(tmp_path):
    def found(folder, size):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "a.txt").write_bytes(b"x" * size)
        return sources.fingerprint(units(f"s=text:{tmp_path / folder}/*.txt"))

    assert found("here", 5) == found("there", 5) != found("here", 6)
