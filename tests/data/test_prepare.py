import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bert_jax import storage
from bert_jax.data import corpus as corpora
from bert_jax.data import encoding, prepare, scanning, shards
from bert_jax.data.prepare import prepare_corpus
from bert_jax.errors import CorpusError

QUIET = {"progress": lambda line: None, "vocab_size": 300, "validation_fraction": 0.1}


def files(folder):
    return {str(p.relative_to(folder)): storage.sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_any_number_of_workers_writes_the_same_bytes(jsonl_files, tmp_path):
    for workers in (1, 3):
        prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / str(workers), num_workers=workers, **QUIET)
    assert files(tmp_path / "1") == files(tmp_path / "3")


@pytest.mark.parametrize("stage", ["scan", "encode"])
def test_an_interrupted_build_goes_on_where_it_stopped(jsonl_files, tmp_path, monkeypatch, stage):
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "straight", num_workers=1, **QUIET)
    module = {"scan": scanning, "encode": encoding}[stage]
    work, done = getattr(module, stage), []

    def breaks_at_the_third(job):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.index)
        work(job)

    monkeypatch.setattr(module, stage, breaks_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "broken", num_workers=1, **QUIET)
    with pytest.raises(CorpusError, match="did not finish"):
        corpora.open_corpus(tmp_path / "broken")
    monkeypatch.undo()
    suffix = {"scan": "scanned.json", "encode": "encoded.json"}[stage]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "broken" / "build").glob(f"*.{suffix}")}
    assert len(before) == 2
    kept = {}
    monkeypatch.setattr(prepare.shutil, "rmtree", lambda build: kept.update({p: p.stat().st_mtime_ns for p in before}))
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "broken", num_workers=1, **QUIET)
    assert kept == before
    monkeypatch.undo()
    prepare.shutil.rmtree(tmp_path / "broken" / "build")
    assert files(tmp_path / "straight") == files(tmp_path / "broken")


def test_tokens_are_those_of_the_text(text_file, corpus):
    documents = text_file.read_text().split("\n\n")
    total = 0
    for split in (corpus.train, corpus.validation):
        for d in range(split.num_documents):
            first, last = split.document_starts[d], split.document_starts[d + 1]
            sentences = [
                corpus.tokenizer.decode(split.token_ids[split.sentence_starts[s] : split.sentence_starts[s + 1]])
                for s in range(first, last)
            ]
            total += any(" ".join(sentences) == text.lower().replace("\n", " ").strip() for text in documents)
    assert total == len(documents)


def test_splits_are_disjoint_and_counted(corpus):
    assert corpus.train.num_documents + corpus.validation.num_documents == 120
    for name, split in (("train", corpus.train), ("validation", corpus.validation)):
        stated = corpus.manifest["splits"][name]
        assert stated["documents"] == split.num_documents
        assert stated["tokens"] == split.num_tokens == split.sentence_starts[-1]
        assert stated["sentences"] == len(split.sentence_starts) - 1 == split.document_starts[-1]
        np.testing.assert_array_equal(
            split.token_counts, np.bincount(split.token_ids, minlength=corpus.tokenizer.vocab_size)
        )


def test_tfds_opens_it(corpus, corpus_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    source = tfds.builder_from_directory(corpus_path).as_data_source(split="validation")
    assert len(source) == corpus.validation.num_documents
    ids = np.concatenate([record["token_ids"] for record in source])
    np.testing.assert_array_equal(ids, corpus.validation.token_ids)


def test_a_lost_index_is_rebuilt_the_same(jsonl_files, tmp_path):
    built = prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
    before = files(tmp_path / "c")
    prepare.shutil.rmtree(tmp_path / "c" / "index")
    assert corpora.open_corpus(tmp_path / "c").fingerprint == built.fingerprint
    assert files(tmp_path / "c") == before


@pytest.mark.parametrize(
    "damaged", ["index/train/token_ids.npy", "index/validation/sentence_starts.npy", "tokenizer/vocab.txt"]
)
def test_damage_is_found_on_opening(jsonl_files, tmp_path, damaged):
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
    file = tmp_path / "c" / damaged
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CorpusError, match=r"damaged|is not the one"):
        corpora.open_corpus(tmp_path / "c")


def test_a_damaged_shard_is_found_on_rebuilding(jsonl_files, tmp_path):
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
    prepare.shutil.rmtree(tmp_path / "c" / "index")
    file = tmp_path / "c" / shards.shard_name("train", 1, 3)
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CorpusError, match="00001-of-00003 is damaged"):
        corpora.open_corpus(tmp_path / "c")


def test_repeated_paragraphs_are_dropped_and_counted(tmp_path):
    rows = [{"text": f"This one is number {i}.\nThis is a licence that everyone repeats."} for i in range(60)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:30]))
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[30:]))
    built = prepare_corpus(
        f"jsonl:{tmp_path}/*.jsonl", tmp_path / "c", num_workers=2, deduplicate="paragraphs", **QUIET
    )
    assert built.manifest["text_policy_counts"]["repeated_paragraphs"] == 59
    sentences = sum(len(split.sentence_starts) - 1 for split in (built.train, built.validation))
    assert sentences == 61


def test_a_very_long_line_is_cut_and_nothing_is_lost(tmp_path):
    words = " ".join(f"w{i % 50}" for i in range(5000))
    text = "\n\n".join([words, *[f"Document {i} is short." for i in range(40)]])
    (tmp_path / "a.txt").write_text(text)
    built = prepare_corpus(f"text:{tmp_path}/a.txt", tmp_path / "c", num_workers=1, **QUIET)
    lengths = np.concatenate([np.diff(split.sentence_starts) for split in (built.train, built.validation)])
    assert lengths.max() == encoding.MAX_SENTENCE_TOKENS
    # The line goes through the splitter in windows; what each gives is still too long.
    counts = built.manifest["text_policy_counts"]
    assert counts["cut_sentences"] == len(words) // 4096
    assert counts["long_sentences"] == counts["cut_sentences"] + 1
    assert lengths.sum() >= 5000


def test_a_given_vocabulary_is_used(corpus, corpus_path, text_file, tmp_path):
    built = prepare_corpus(
        f"text:{text_file}", tmp_path / "c", tokenizer=f"{corpus_path}/tokenizer", num_workers=1, **QUIET
    )
    assert built.tokenizer.sha256 == corpus.tokenizer.sha256


def test_the_same_call_again_opens_what_is_there(jsonl_files, tmp_path):
    lines = []
    options = QUIET | {"progress": lines.append}
    first = prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **options)
    lines.clear()
    assert prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", **options).fingerprint == first.fingerprint
    assert lines == [f"{tmp_path / 'c'} is complete: nothing to do."]
    with pytest.raises(CorpusError, match="other options"):
        prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", **(options | {"vocab_size": 200}))


def test_a_build_of_changed_sources_is_begun_anew(tmp_path, monkeypatch):
    def write(word):
        (tmp_path / "a.txt").write_text("\n\n".join(f"The {word} number {i} is here. It stays." for i in range(40)))

    write("first")
    monkeypatch.setattr(encoding, "encode", lambda job: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare_corpus(f"text:{tmp_path}/a.txt", tmp_path / "c", num_workers=1, **QUIET)
    monkeypatch.undo()
    write("second")
    built = prepare_corpus(f"text:{tmp_path}/a.txt", tmp_path / "c", num_workers=1, **QUIET)
    assert "second" in built.tokenizer.vocabulary
    assert "first" not in built.tokenizer.vocabulary


def test_killed_before_its_first_file_a_build_can_be_begun(jsonl_files, tmp_path):
    (tmp_path / "c" / "build").mkdir(parents=True)
    assert prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET).train.num_documents


def test_a_worker_that_dies_ends_the_build(jsonl_files, tmp_path):
    script = (
        "import os; from bert_jax.data import prepare, scanning\n"
        "def die(job): os._exit(9)\n"
        "if __name__ == '__main__':\n"
        "    scanning.scan = die\n"
        f"    prepare.prepare_corpus('jsonl:{jsonl_files}', '{tmp_path}/c', num_workers=2)\n"
    )
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert done.returncode != 0
    assert "CorpusError: A worker process died" in done.stderr


def test_other_folders_are_left_alone(jsonl_files, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CorpusError, match="is not a corpus"):
        prepare_corpus(f"jsonl:{jsonl_files}", tmp_path, **QUIET)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_sources_without_text_say_so(tmp_path):
    (tmp_path / "a.txt").write_text("\n \n")
    with pytest.raises(CorpusError, match="no text"):
        prepare_corpus(f"text:{tmp_path}/a.txt", tmp_path / "c", **QUIET)


def test_options_are_all_in_the_manifest(corpus):
    assert set(corpus.manifest["options"]) == {field.name for field in dataclasses.fields(prepare.Options)}
