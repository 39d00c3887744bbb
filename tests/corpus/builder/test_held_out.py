import json

import pytest

from bert_jax import hashing
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.errors import CorpusError

QUIET = {"vocab_size": 300, "num_workers": 1}


def build(tmp_path, kind, content, **options):
    told = []
    (tmp_path / "a").write_text(content)
    prepare_corpus(f"{kind}:{tmp_path}/a", tmp_path / "c", progress=told.append, **QUIET | options)
    return told


def records(ids):
    return "".join(
        json.dumps({"text": f"The {'abcdefgh'[i % 8] * 3} end.", "id": each}) + "\n" for i, each in enumerate(ids)
    )


@pytest.mark.parametrize("options", [{}, {"tokenizer": "corpus"}])
def test_equal_ids_are_blamed(tmp_path, corpus_path, options):
    options = {"tokenizer": f"{corpus_path}/tokenizer"} if options else {}
    with pytest.raises(CorpusError, match=r"All 60 documents have the id 'wiki', and .* as in jsonl\[id=none\]"):
        build(tmp_path, "jsonl", records(["wiki"] * 60), **options)
    assert not (tmp_path / "c").exists()
    build(tmp_path, "jsonl[id=none]", records(["wiki"] * 60), validation_fraction=0.1, **options)


@pytest.mark.parametrize("all_of_them", [False, True])
def test_the_fraction_that_is_named_works(tmp_path, all_of_them):
    ids = [f"k{i}" for i in range(8)]
    shares = sorted(hashing.share(each, "validation") for each in ids)
    fraction = 0.9999 if all_of_them else shares[0] / 2
    problem = "All 8 documents are held out" if all_of_them else "None of the 8 documents is held out"
    with pytest.raises(CorpusError, match=rf"{problem} at --validation_fraction=.*: give 0\.") as caught:
        build(tmp_path, "jsonl", records(ids), validation_fraction=fraction)
    named = float(str(caught.value).partition(": give ")[2].partition(",")[0])
    build(tmp_path, "jsonl", records(ids), validation_fraction=named)


def test_a_source_without_text_is_blamed_with_what_was_left_out(tmp_path):
    with pytest.raises(CorpusError, match=r"--source=jsonl:.* holds no text \(3 empty documents\)"):
        build(tmp_path, "jsonl", '{"text": " "}\n' * 3)


def test_a_file_without_blank_lines_is_told_before_the_work(tmp_path, text_file, monkeypatch):
    content = "".join(f"The line number {i}.\n" for i in range(99))
    with pytest.raises(
        CorpusError, match=r"has no blank lines, so it is one document of .* give text\[documents=lines"
    ):
        build(tmp_path, "text", content)
    assert not (tmp_path / "c").exists()
    assert build(tmp_path, "text[documents=lines]", content, validation_fraction=0.1)
    told = []
    both = [f"text:{tmp_path}/a", f"text:{text_file}"]  # other text can be held out
    prepare_corpus(both, tmp_path / "both", progress=told.append, validation_fraction=0.1, **QUIET)
    assert [line for line in told if line.startswith("warning: ") and "/a has no blank lines" in line]


def test_a_long_file_without_blank_lines_is_told_after_the_first_reading(tmp_path, monkeypatch):
    monkeypatch.setattr("bert_jax.corpus.builder.held_out.SEARCHED_BYTES", 100)
    with pytest.raises(CorpusError, match=r"The sources hold one document, .* give text\[documents=lines\]"):
        build(tmp_path, "text", "The line.\n" * 99)
