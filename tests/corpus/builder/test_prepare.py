import collections
import contextlib
import dataclasses
import glob
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bert_jax import hashing, lock, storage
from bert_jax.corpus import shards
from bert_jax.corpus import store as corpora
from bert_jax.corpus.builder import encoding, prepare, scanning
from bert_jax.corpus.builder.prepare import prepare_corpus
from bert_jax.errors import CorpusError, LockError
from tests.tokenization import modern

QUIET = {"progress": lambda line: None, "vocab_size": 300, "validation_fraction": 0.1}


def files(folder):
    return {str(p.relative_to(folder)): hashing.sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


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
    with pytest.raises(CorpusError, match="is incomplete"):
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


def test_a_file_name_that_is_not_utf8(text_file, tmp_path):
    name = os.fsdecode(b"caf\xe9.txt")
    (tmp_path / name).write_bytes(text_file.read_bytes())
    spec = f"text:{tmp_path}/{name}"
    built = prepare_corpus(spec, tmp_path / "c", num_workers=2, **QUIET)
    assert built.manifest["options"]["source"] == [spec]
    assert next(shards.read(tmp_path / "c" / shards.shard_name("train", 0, 1)))["id"].startswith("caf\\xe9.txt:")
    assert prepare_corpus(spec, tmp_path / "c", **QUIET).fingerprint == built.fingerprint


def test_a_second_build_in_the_folder_is_refused(jsonl_files, tmp_path):
    second = []

    def build_another(line):
        if not second:
            with pytest.raises(LockError, match="is in use by a build, process"):
                prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
            second.append(line)

    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET | {"progress": build_another})
    assert second
    assert not [name for name in files(tmp_path / "c") if lock.is_claim(name)]


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


def test_a_damaged_tokenizer_is_found_on_opening(jsonl_files, tmp_path):
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
    file = tmp_path / "c" / "tokenizer" / "vocab.txt"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CorpusError, match=r"is not the one"):
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


@pytest.mark.parametrize("mode", ["none", "documents", "paragraphs"])
def test_repeats_are_dropped_by_documents_or_paragraphs(tmp_path, mode):
    def rows(start):
        return [f"This one is number {i}.\nAll say the same." for i in range(start, start + 40)]

    texts = [*rows(0), *rows(20)], [*rows(30), *rows(50), "All say the same."]
    for name, lines in zip("ab", texts, strict=True):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    built = [
        prepare_corpus(
            [f"jsonl:{tmp_path}/a.jsonl", f"jsonl:{tmp_path}/b.jsonl"],
            tmp_path / f"c{workers}",
            num_workers=workers,
            deduplicate=mode,
            **QUIET,
        )
        for workers in (1, 2)
    ]
    assert files(tmp_path / "c1") == files(tmp_path / "c2")
    counts = collections.Counter(built[0].manifest["text_policy_counts"])
    documents = sum(split.num_documents for split in (built[0].train, built[0].validation))
    sentences = sum(len(split.sentence_starts) - 1 for split in (built[0].train, built[0].validation))
    same, numbered = len("All say the same."), len("This one is number 10.")
    if mode == "none":
        assert (documents, sentences) == (161, 321)
        assert not counts
    elif mode == "documents":
        assert (documents, sentences) == (91, 181)
        assert counts == {"repeated_documents": 70, "repeated_characters": 70 * (numbered + same)}
    else:
        assert (documents, sentences) == (90, 91)
        assert counts["repeated_documents"] == 71
        assert counts["repeated_paragraphs"] == 321 - 91
        assert counts["repeated_characters"] == 70 * numbered + 160 * same


def test_a_given_vocabulary_without_deduplication_needs_one_reading(corpus_path, jsonl_files, tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "scan", lambda job: 1 / 0)
    options = QUIET | {"tokenizer": f"{corpus_path}/tokenizer"}
    assert prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **options).train.num_documents
    with pytest.raises(ZeroDivisionError):
        prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "d", num_workers=1, deduplicate="documents", **options)


@pytest.mark.parametrize(("tokenizer", "size"), [("sentencepiece", 200), ("sentencepiece-bpe", 200), ("bpe", 400)])
def test_vocabularies_of_raw_text_are_trained(jsonl_files, tmp_path, tokenizer, size):
    options = QUIET | {"tokenizer": tokenizer, "special_tokens": ("[DOC]",), "reserved_slots": 3, "vocab_size": size}
    built = [
        prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / str(workers), num_workers=workers, **options)
        for workers in (1, 2)
    ]
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert built[0].manifest["vocabulary_sample"] == 1.0
    assert built[0].tokenizer.vocab_size <= size
    assert {"[DOC]", "[unused2]"} <= set(built[0].tokenizer.vocabulary)
    split = built[0].train
    assert "the" in built[0].tokenizer.decode(split.token_ids[: split.sentence_starts[1]]).lower()


def test_the_sample_is_a_share_of_the_documents(jsonl_files, tmp_path, monkeypatch):
    size = sum(p.stat().st_size for p in map(pathlib.Path, glob.glob(jsonl_files)))
    monkeypatch.setitem(scanning.SAMPLE_BYTES, "wordpiece", size // 4)
    built = prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
    assert built.manifest["vocabulary_sample"] == pytest.approx(0.25, abs=0.01)
    assert (built.train.token_counts[built.tokenizer.unk_id]) < built.train.num_tokens / 2


def test_rare_words_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(scanning, "MAX_WORDS", 4)
    words = collections.Counter()
    for more in ({"a": 3, "b": 2}, {"c": 1, "d": 1, "e": 4}, {"b": 9}):
        scanning._add_words(words, collections.Counter(more))
    assert words == {"e": 4, "a": 3, "b": 9}


def test_sources_have_names_and_totals_and_can_be_taken_apart(jsonl_files, text_file, tmp_path):
    specs = [f"web=jsonl:{jsonl_files}", f"text:{text_file}", f"jsonl[lang=de]:{jsonl_files}"]
    built = prepare_corpus(specs, tmp_path / "c", num_workers=1, **QUIET)
    assert built.sources == ("web", "documents", "jsonl0")
    assert [source["spec"] for source in built.manifest["sources"]] == specs
    for name, split in (("train", built.train), ("validation", built.validation)):
        views = [split.of_source(i) for i in range(3)]
        for view, source in zip(views, built.manifest["sources"], strict=True):
            stated = source["splits"][name]
            assert (stated["documents"], stated["tokens"]) == (view.num_documents, view.num_tokens)
            assert stated["sentences"] == view.document_starts[-1] - view.document_starts[0]
            assert view.token_counts.sum() == view.num_tokens
        np.testing.assert_array_equal(
            np.concatenate([view.document_starts[:-1] for view in views]), split.document_starts[:-1]
        )
        np.testing.assert_array_equal(sum(view.token_counts for view in views), split.token_counts)
        assert split.of_source(3).num_documents == split.of_source(3).num_tokens == 0


def test_records_are_what_tfds_would_write(tmp_path):
    from array_record.python import array_record_module
    from tensorflow_datasets.proto import tf_example_pb2

    ids, lengths = np.arange(70_000, dtype=np.int32), np.array([69_000, 1_000], np.int32)
    with shards.Writer(tmp_path / "a") as writer:
        writer.write("é:1", 3, ids, lengths)
    reader = array_record_module.ArrayRecordReader(str(tmp_path / "a"))
    record = {"id": "é:1", "source": 3, "token_ids": ids, "sentence_lengths": lengths}
    expected = tf_example_pb2.Example.FromString(shards.features().serialize_example(record))
    assert reader.read(0, 1) == [expected.SerializeToString(deterministic=True)]


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


def test_sentences_are_encoded_as_in_their_text(tmp_path):
    """A tokenizer as ModernBERT's has other pieces for the first word of a text."""
    for name, content in modern.modern_bert().items():
        (tmp_path / name).write_bytes(content)
    documents = [f"The cat sat {i}. It is the cat. The end." for i in range(30)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    built = prepare_corpus(f"jsonl:{tmp_path}/a.jsonl", tmp_path / "c", tokenizer=str(tmp_path), num_workers=1, **QUIET)
    expected = {tuple(built.tokenizer.encode(text)) for text in documents}
    for split in (built.train, built.validation):
        starts = split.sentence_starts[split.document_starts]
        assert len(split.sentence_starts) - 1 == 3 * split.num_documents
        found = {tuple(split.token_ids[a:b].tolist()) for a, b in itertools.pairwise(starts)}
        assert found
        assert found <= expected


def test_the_same_call_again_opens_what_is_there(jsonl_files, tmp_path):
    lines = []
    options = QUIET | {"progress": lines.append}
    first = prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **options)
    lines.clear()
    assert prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", **options).fingerprint == first.fingerprint
    assert lines == [f"{tmp_path / 'c'} is complete: nothing to do."]
    with pytest.raises(CorpusError, match="other options"):
        prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", **(options | {"vocab_size": 200}))


@pytest.mark.parametrize(("module", "step"), [(encoding, "encode"), (shards, "write_metadata")])
def test_a_build_of_changed_sources_is_begun_anew(tmp_path, monkeypatch, module, step):
    def write(word, when):
        (tmp_path / "a.txt").write_text("\n\n".join(f"The {word} number {i} is here. It stays." for i in range(40)))
        os.utime(tmp_path / "a.txt", ns=(0, when))

    def stops(*_):
        raise KeyboardInterrupt

    write("first", 10**18)
    monkeypatch.setattr(module, step, stops)
    with pytest.raises(KeyboardInterrupt):
        prepare_corpus(f"text:{tmp_path}/a.txt", tmp_path / "c", num_workers=1, **QUIET)
    monkeypatch.undo()
    write("other", 10**18 + 1000)  # as large, within the same second
    built = prepare_corpus(f"text:{tmp_path}/a.txt", tmp_path / "c", num_workers=1, **QUIET)
    assert "other" in built.tokenizer.vocabulary
    assert "first" not in built.tokenizer.vocabulary
    assert "the other number" in built.tokenizer.decode(built.train.token_ids[: built.train.sentence_starts[1]])


def test_sources_that_change_while_they_are_read_are_told(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("\n\n".join(f"The number {i} is here. It stays." for i in range(40)))
    encode = encoding.encode

    def encode_and_change(*given):
        os.utime(tmp_path / "a.txt", ns=(0, 1))
        return encode(*given)

    monkeypatch.setattr(encoding, "encode", encode_and_change)
    for _ in range(2):
        with pytest.raises(CorpusError, match="were written to while they were read: build it again"):
            prepare_corpus(f"text:{tmp_path}/a.txt", tmp_path / "c", num_workers=1, **QUIET)
        os.utime(tmp_path / "a.txt", ns=(0, 2))
    monkeypatch.undo()
    assert prepare_corpus(f"text:{tmp_path}/a.txt", tmp_path / "c", num_workers=1, **QUIET).train.num_documents


def test_a_build_stopped_at_its_last_step_goes_on(jsonl_files, tmp_path, monkeypatch):
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "straight", num_workers=1, **QUIET)
    monkeypatch.setattr(shards, "write_metadata", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "broken", num_workers=1, **QUIET)
    monkeypatch.undo()
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "broken", num_workers=1, **QUIET)
    assert files(tmp_path / "straight") == files(tmp_path / "broken")


KILLED = """
import sys
from bert_jax.corpus.builder.prepare import prepare_corpus
if __name__ == "__main__":
    prepare_corpus(sys.argv[1], sys.argv[2], num_workers=2, vocab_size=300, validation_fraction=0.1,
                   deduplicate="paragraphs")
"""


def test_killed_at_any_moment_a_build_goes_on_to_the_same_corpus(jsonl_files, tmp_path):
    (tmp_path / "script.py").write_text(KILLED)
    environment = os.environ | {"PYTHONPATH": os.getcwd()}

    def start(folder):
        command = [sys.executable, tmp_path / "script.py", f"jsonl:{jsonl_files}", tmp_path / folder]
        return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)

    begin = time.monotonic()
    assert start("straight").wait(timeout=120) == 0
    whole = time.monotonic() - begin
    rng = random.Random()
    for _ in range(6):
        process = start("killed")
        time.sleep(rng.uniform(0.3, 1) * whole)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start("killed").wait(timeout=120) == 0
    assert files(tmp_path / "straight") == files(tmp_path / "killed")


def test_changed_sources_of_a_complete_corpus_are_named(tmp_path):
    def write(count):
        (tmp_path / "a.txt").write_text("\n\n".join(f"The number {i} is here. It stays." for i in range(count)))

    lines = []
    options = QUIET | {"progress": lines.append, "num_workers": 1}
    write(60)
    first = prepare_corpus(f"news=text:{tmp_path}/a.txt", tmp_path / "c", **options)
    for change, said in (
        (lambda: os.utime(tmp_path / "a.txt", ns=(0, 1)), "The files of news were written since, or copied, though"),
        (lambda: write(70), "news changed since"),
        ((tmp_path / "a.txt").unlink, "Could not compare its sources"),
    ):
        change()
        lines.clear()
        assert prepare_corpus(f"news=text:{tmp_path}/a.txt", tmp_path / "c", **options).fingerprint == first.fingerprint
        assert said in lines[0]


def test_what_a_killed_build_was_writing_is_no_part_of_the_corpus(jsonl_files, tmp_path, monkeypatch):
    def stops(path, content, write=storage.write_bytes):
        write(path, content)
        if path == stops_at:
            path.rename(f"{path}.0123456789abcdef.partial")
            raise KeyboardInterrupt

    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "straight", num_workers=1, **QUIET)
    for name in ("tokenizer/vocab.txt", "manifest.json"):
        stops_at = corpora.epath.Path(tmp_path / "c" / name)
        monkeypatch.setattr(storage, "write_bytes", stops)
        with pytest.raises(KeyboardInterrupt):
            prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
        monkeypatch.undo()
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
    assert files(tmp_path / "straight") == files(tmp_path / "c")


def test_a_build_killed_behind_its_last_step_is_tidied(jsonl_files, tmp_path):
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
    (tmp_path / "c" / "build").mkdir()
    (tmp_path / "c" / "build" / "00000.hashes").write_text("left")
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
    assert not (tmp_path / "c" / "build").exists()


@pytest.mark.parametrize("wrong", [{"deduplicate": "lines"}, {"validation_fraction": 1.0}, {"character_coverage": 0.0}])
def test_wrong_options_are_refused_before_anything_is_written(jsonl_files, tmp_path, wrong):
    with pytest.raises(CorpusError, match=next(iter(wrong))):
        prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", **QUIET | wrong)
    assert not (tmp_path / "c").exists()


def test_an_opened_index_is_hashed_once(jsonl_files, tmp_path, monkeypatch):
    prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET)
    monkeypatch.setattr(hashing, "sha256", lambda path: 1 / 0)
    assert corpora.open_corpus(tmp_path / "c").train.num_documents


def test_killed_before_its_first_file_a_build_can_be_begun(jsonl_files, tmp_path):
    (tmp_path / "c" / "build").mkdir(parents=True)
    assert prepare_corpus(f"jsonl:{jsonl_files}", tmp_path / "c", num_workers=1, **QUIET).train.num_documents


def test_a_worker_that_dies_ends_the_build(jsonl_files, tmp_path):
    script = (
        "import os; from bert_jax.corpus.builder import prepare, scanning\n"
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
    assert "WorkerError: A worker process died" in done.stderr


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
