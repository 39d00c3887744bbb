"""From text to a stored corpus, in stages. Each unit's result is a file: a rerun redoes only what is missing.

    scan    per unit   paragraph hashes (to find repeats) and word counts (to train the vocabulary)
    train   once       the vocabulary, unless one is given; which paragraphs repeat an earlier one
    encode  per unit   sentences → token ids → one ArrayRecord shard a split
    finish  once       the index that training reads, TFDS metadata, the manifest

Every result depends on the sources and the options alone: any number of workers writes the same bytes.
"""

import array
import collections
import contextlib
import dataclasses
import hashlib
import io
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.data import corpus, shards, sources, text
from bert_jax.errors import CorpusError
from bert_jax.tokenization import load_tokenizer
from bert_jax.tokenization.tokenizer import WordPieceTokenizer
from bert_jax.tokenization.training import count_words, train_wordpiece

# A run-on "sentence" of more tokens is cut, so that no text is lost to truncation and one line cannot fill memory.
MAX_SENTENCE_TOKENS = 512
# The vocabulary is trained on a sample of documents, chosen by their hashes, of about so many bytes of source.
VOCABULARY_SAMPLE_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class Options:
    """What decides the content of a corpus.

    Attributes:
      source: what `--source` takes; several are read one after the other.
      tokenizer: `wordpiece` trains a vocabulary; anything else is the path of one.
      vocab_size: pieces of a trained vocabulary at most.
      lowercase: whether a trained vocabulary is uncased.
      language: two-letter code for sentence splitting where a document does not name its own.
      validation_fraction: share of documents held out, by the hash of each one's id; docstrings hold out whole
        packages instead, see `docstrings.py`.
      deduplicate: drop each paragraph that occurred before, in any document.
    """

    source: tuple[str, ...]
    tokenizer: str = "wordpiece"
    vocab_size: int = 30_522
    lowercase: bool = True
    language: str = "en"
    validation_fraction: float = 0.02
    deduplicate: bool = False


def prepare_corpus(
    source: str | Sequence[str],
    output: epath.PathLike,
    *,
    num_workers: int = 0,
    progress: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    **options,
) -> corpus.Corpus:
    """Builds a corpus, or opens it if the same one is already there.

    Args:
      source: `docstrings`, `text:GLOB` or `jsonl:GLOB`, or several of them.
      output: the folder to make.
      num_workers: processes; 0 means one for each processor.
      progress: takes a line now and then.
      **options: fields of `Options`.

    Raises:
      CorpusError: an empty or unknown source, or an `output` that holds something else.
    """
    chosen = Options(source=(source,) if isinstance(source, str) else tuple(source), **options)
    if not 0 < chosen.validation_fraction < 1:
        raise CorpusError(f"validation_fraction={chosen.validation_fraction} must lie between 0 and 1.")
    output = epath.Path(output)
    units = [unit for i, spec in enumerate(chosen.source) for unit in sources.units(spec, i)]
    if (output / "manifest.json").exists():
        if storage.read_json(output / "manifest.json")["options"] != _as_json(chosen):
            raise CorpusError(f"{output} holds a corpus made with other options: choose another --output.")
        progress(f"{output} is complete: nothing to do. (For changed sources choose another folder.)")
        return corpus.open_corpus(output)
    build = _start(output, chosen, units, progress)
    workers = min(num_workers or multiprocessing.cpu_count(), len(units))
    total_bytes = sum(_stat(file).length for unit in units for file in unit.files)
    sample = min(1.0, VOCABULARY_SAMPLE_BYTES / max(total_bytes, 1))
    jobs = [_Job(i, unit, chosen, sample, str(build)) for i, unit in enumerate(units)]
    _run("reading", scan, jobs, workers, progress)
    _train_tokenizer(build, chosen, jobs, progress)
    _mark_repeats(build, jobs, chosen)
    _run("encoding", encode, jobs, workers, progress)
    _finish(output, build, chosen, jobs)
    shutil.rmtree(build)
    result = corpus.open_corpus(output)
    progress(describe(result))
    return result


def describe(opened: corpus.Corpus) -> str:
    """One line about a corpus."""
    train, validation = opened.train, opened.validation
    return (
        f"corpus: {train.num_documents:,} training documents with {train.num_tokens:,} tokens,"
        f" {validation.num_documents:,} held out with {validation.num_tokens:,};"
        f" vocabulary of {opened.tokenizer.vocab_size:,}"
    )


def _as_json(options: Options) -> dict:
    return dataclasses.asdict(options) | {"source": list(options.source)}


def _start(output, options, units, progress) -> epath.Path:
    """Makes the build folder, or finds the one of an interrupted build of the same corpus."""
    build = output / "build"
    facts = [[*dataclasses.astuple(unit), *((f.length, f.mtime) for f in map(_stat, unit.files))] for unit in units]
    wanted = {"options": _as_json(options), "units": storage.fingerprint(facts)}
    if output.exists() and any(output.iterdir()) and not build.exists():
        raise CorpusError(f"{output} exists and is not a corpus: choose another --output.")
    begun = build / "options.json"
    if begun.exists() and storage.read_json(begun) == wanted:
        return build
    if begun.exists():
        progress(f"{output} was begun with other options or sources: it is begun anew.")
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    storage.write_json(begun, wanted)
    return build


def _stat(file: str):
    return epath.Path(file).stat()


@dataclasses.dataclass(frozen=True)
class _Job:
    """One unit of work; `sample` is the share of documents that the vocabulary is trained on."""

    index: int
    unit: sources.Unit
    options: Options
    sample: float
    build: str

    def file(self, suffix: str) -> epath.Path:
        return epath.Path(self.build) / f"{self.index:05d}.{suffix}"


def _run(name, work, jobs: Sequence[_Job], workers, progress) -> None:
    start, last = time.monotonic(), 0.0
    with contextlib.ExitStack() as stack:
        if workers > 1:
            # Fresh processes: a fork of one that holds JAX's or a notebook's threads can hang. An executor, not a
            # pool: it raises when a worker dies.
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(futures.ProcessPoolExecutor(workers, context))
            stack.callback(pool.shutdown, cancel_futures=True)
            results = (future.result() for future in futures.as_completed([pool.submit(work, job) for job in jobs]))
        else:
            results = map(work, jobs)
        for done, _ in enumerate(results, 1):
            now = time.monotonic()
            if now - last > 5 or done == len(jobs):
                left = (now - start) / done * (len(jobs) - done)
                progress(f"{name}: {done}/{len(jobs)} parts, {left:.0f} s left")
                last = now


def _documents(job: _Job, counts: collections.Counter):
    for document in sources.documents(job.unit, job.options.language, counts):
        yield document, text.paragraphs(document.text)


def _share(identifier: str, purpose: str) -> float:
    """A number in [0, 1) that belongs to a document, the same everywhere."""
    digest = hashlib.sha256(f"{purpose}:{identifier}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _is_validation(job: _Job, document: sources.Document) -> bool:
    if job.unit.validation is not None:
        return job.unit.validation
    return _share(document.id, "validation") < job.options.validation_fraction


def scan(job: _Job) -> None:
    """Stage 1 of one unit: `.paragraphs.npy` (uint64 hashes in order) and `.words.json`; that file makes it done."""
    if job.file("words.json").exists():
        return
    hashes = array.array("Q")

    def sampled() -> Iterator[str]:
        seen = set()
        for document, lines in _documents(job, collections.Counter()):
            digests = [int.from_bytes(hashlib.blake2b(p.encode(), digest_size=8).digest(), "little") for p in lines]
            hashes.extend(digests)
            if _is_validation(job, document) or _share(document.id, "vocabulary") >= job.sample:
                continue
            for paragraph, digest in zip(lines, digests, strict=True):
                if job.options.deduplicate and digest in seen:
                    continue
                seen.add(digest)
                yield paragraph

    texts = sampled()
    words = count_words(texts, job.options.lowercase) if job.options.tokenizer == "wordpiece" else {}
    collections.deque(texts, maxlen=0)  # the hashes are wanted without the words, too
    _save_array(job.file("paragraphs.npy"), np.frombuffer(hashes, np.uint64))
    storage.write_json(job.file("words.json"), dict(sorted(words.items())))


def _train_tokenizer(build, options, jobs, progress) -> None:
    if (build / "tokenizer" / "tokenizer_config.json").exists():
        return
    if options.tokenizer != "wordpiece":
        load_tokenizer(options.tokenizer).save(build / "tokenizer")
        return
    progress(f"training a vocabulary of {options.vocab_size:,}")
    words = collections.Counter()
    for job in jobs:
        words.update(storage.read_json(job.file("words.json")))
    if not words:
        raise CorpusError(
            f"The sources hold no text to train on: give more documents, or hold out fewer"
            f" (validation_fraction is {options.validation_fraction})."
        )
    train_wordpiece(words, options.vocab_size, lowercase=options.lowercase).save(build / "tokenizer")


def _save_array(path: epath.Path, array: np.ndarray) -> None:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    storage.write_bytes(path, content.getvalue())


def _mark_repeats(build, jobs, options) -> None:
    """Writes `.keep.npy` for each unit: False where an earlier paragraph, in unit order, was the same."""
    if all(job.file("keep.npy").exists() for job in jobs):
        return
    hashes = [np.load(str(job.file("paragraphs.npy")), allow_pickle=False) for job in jobs]
    keep = np.ones(sum(map(len, hashes)), bool)
    if options.deduplicate:
        _, first = np.unique(np.concatenate(hashes), return_index=True)
        keep[:] = False
        keep[first] = True
    ends = np.cumsum([len(h) for h in hashes])
    for job, part in zip(jobs, np.split(keep, ends[:-1]), strict=True):
        _save_array(job.file("keep.npy"), part)


def encode(job: _Job) -> None:
    """Stage 3 of one unit: a shard a split, and `.encoded.json` with what it holds; that file makes it done."""
    if job.file("encoded.json").exists():
        return
    tokenizer = load_tokenizer(epath.Path(job.build) / "tokenizer")
    keep = np.load(str(job.file("keep.npy")), allow_pickle=False)
    counts, position = collections.Counter(), 0
    totals = {split: collections.Counter() for split in corpus.SPLITS}
    with contextlib.ExitStack() as stack:
        writers = {s: stack.enter_context(shards.Writer(job.file(f"{s}.array_record"))) for s in corpus.SPLITS}
        for document, lines in _documents(job, counts):
            kept = [line for line, k in zip(lines, keep[position : position + len(lines)], strict=True) if k]
            counts["repeated_paragraphs"] += len(lines) - len(kept)
            position += len(lines)
            record = _encode_document(tokenizer, document, kept, job.unit.source, counts)
            if record is None:
                counts["documents_without_text"] += 1
                continue
            split = corpus.VALIDATION if _is_validation(job, document) else corpus.TRAIN
            writers[split].write(record)
            totals[split].update(
                documents=1, sentences=len(record["sentence_lengths"]), tokens=len(record["token_ids"])
            )
    summary = {
        "splits": {split: dict(total) for split, total in totals.items()},
        "counts": dict(sorted(counts.items())),
    }
    storage.write_json(job.file("encoded.json"), summary)


def _encode_document(tokenizer: WordPieceTokenizer, document, lines, source, counts) -> dict | None:
    sentences = [sentence for line in lines for sentence in text.sentences(line, document.language)]
    pieces = []
    for ids in tokenizer.encode_batch(sentences):
        counts["long_sentences"] += len(ids) > MAX_SENTENCE_TOKENS
        pieces += [ids[i : i + MAX_SENTENCE_TOKENS] for i in range(0, len(ids), MAX_SENTENCE_TOKENS)]
    if not pieces:
        return None
    return {
        "id": document.id,
        "source": source,
        "token_ids": np.array([i for piece in pieces for i in piece], np.int32),
        "sentence_lengths": np.array([len(piece) for piece in pieces], np.int32),
    }


def _finish(output, build, options, jobs) -> None:
    summaries = [storage.read_json(job.file("encoded.json")) for job in jobs]
    splits = {}
    for split in corpus.SPLITS:
        rows = [(job, s["splits"][split]) for job, s in zip(jobs, summaries, strict=True) if s["splits"][split]]
        if not rows:
            raise CorpusError(
                f"The sources gave no {split} documents: give more text, or another --validation_fraction"
                f" (it is {options.validation_fraction}); then delete {output}."
            )
        listed = []
        for index, (job, total) in enumerate(rows):
            target = output / shards.shard_name(split, index, len(rows))
            # A copy, so that an interrupted finish can be repeated.
            job.file(f"{split}.array_record").copy(target, overwrite=True)
            size = target.stat().length
            listed.append(
                {"file": target.name, "records": total["documents"], "bytes": size, "sha256": storage.sha256(target)}
            )
        splits[split] = {key: sum(total[key] for _, total in rows) for key in ("documents", "sentences", "tokens")} | {
            "shards": listed
        }
    tokenizer = load_tokenizer(build / "tokenizer")
    tokenizer.save(output / "tokenizer")
    shards.write_metadata(output, {split: value["shards"] for split, value in splits.items()})
    if (output / "index").exists():
        (output / "index").rmtree()
    hashes = corpus.build_index(output, splits, tokenizer.vocab_size)
    counts = collections.Counter()
    for summary in summaries:
        counts.update(summary["counts"])
    for split in splits:
        splits[split]["index"] = hashes[split]
    manifest = {
        "format_version": corpus.FORMAT_VERSION,
        "fingerprint": storage.fingerprint({"index": hashes, "tokenizer": tokenizer.sha256}),
        "options": _as_json(options),
        "tokenizer_sha256": tokenizer.sha256,
        "text_policy_counts": dict(sorted(counts.items())),
        "splits": splits,
    }
    storage.write_json(output / "manifest.json", manifest)
