"""Builds a stored corpus from text, in stages. Each result is a file, and a rerun makes only those that are missing.

    scanning.scan          per unit         hashes (to find repeats) and a sample (to train the vocabulary)
    repeats.find_repeats   per hash range   which documents or paragraphs repeat an earlier one
    train                  once             the vocabulary, unless you give one
    encoding.encode        per unit         sentences → token ids → an ArrayRecord shard and a part of the index
    finish                 once             the index that training reads, TFDS metadata, the manifest

Results depend only on the sources and the options: any number of workers writes the same bytes.
"""

import collections
import functools
import multiprocessing
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from etils import epath

from bert_jax import hashing, lock, storage
from bert_jax.corpus import buckets as remote
from bert_jax.corpus import index, shards, summary
from bert_jax.corpus import store as corpus
from bert_jax.corpus.builder import encoding, first_documents, held_out, repeats, scanning, sources
from bert_jax.corpus.builder.job import NONE, TRAINED, Job, Options
from bert_jax.corpus.builder.losses import Losses, LossyTextError
from bert_jax.corpus.builder.workers import WorkerError, Workers
from bert_jax.errors import CorpusError, TokenizerError, WriteError, check_all, did_you_mean
from bert_jax.tokenization import Tokenizer, load_tokenizer

# Of the files below `build/`. A build that was begun in another form starts over.
BUILD_FORMAT = 1


def prepare_corpus(
    source: str | Sequence[str],
    output: epath.PathLike,
    *,
    num_workers: int = 0,
    allow_lossy_text: bool = False,
    progress: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    **options: Any,
) -> corpus.Corpus:
    """Builds a corpus, or opens it if it is already built.

    Args:
      source: `[NAME=]KIND[key=value,…][:PATTERN]`, or several of them; see `sources.py`.
      output: the folder to create; a remote one is built in a local folder and uploaded when it is complete.
      num_workers: the number of processes; 0 means one per processor.
      allow_lossy_text: whether to warn, instead of raising, where much more text than usual is unknown to the
        vocabulary or cannot be read.
      progress: is called with each progress message.
      **options: the other fields of `Options`.

    Raises:
      CorpusError: a source is empty or unknown, or `output` holds something else or cannot be made.
      LockError: another process builds a corpus in `output`.
      LossyTextError: too much text would be lost; see `allow_lossy_text`.
      TokenizerError: the vocabulary cannot be read or trained.
      WriteError: the disk is full, or fails.
    """
    chosen = Options(source=(source,) if isinstance(source, str) else tuple(source), **options)
    output = epath.Path(output).expanduser()
    parsed = sources.parse(chosen.source, chosen.language)
    if (output / "manifest.json").exists():
        _compare(output, chosen, parsed, progress)
        return corpus.open_corpus(output)
    local = remote.build_folder(output) if remote.is_remote(output) else output
    units: dict[int, list[sources.Unit]] = {}
    given: list[Tokenizer] = []
    check_all(
        functools.partial(_open_tokenizer, given, chosen),
        functools.partial(_check_output, local),
        *(functools.partial(_list_units, units, source) for source in parsed),
    )
    held_out.check_blank_lines(parsed, units, progress)
    with lock.hold(output, "a build", progress):
        if (output / "manifest.json").exists():  # another process has built it meanwhile
            _compare(output, chosen, parsed, progress)
            return corpus.open_corpus(output)
        try:
            if not (local / "manifest.json").exists():
                _build(local, chosen, parsed, units, given, num_workers, allow_lossy_text, progress)
                for line in summary.block(corpus.read_manifest(local)):
                    progress(line)
        except OSError as error:  # what goes wrong with a source is a CorpusError
            raise WriteError(
                f"{local} cannot be written ({error.strerror or error}): make room or mend it, and run the same command"
                " again, which keeps the finished parts."
            ) from error
        if local != output:
            remote.upload(local, output, progress)
    result = corpus.open_corpus(output)
    progress(describe(result))
    return result


def describe(opened: corpus.Corpus) -> str:
    """Summarizes a corpus in one line."""
    train, validation = opened.train, opened.validation
    return (
        f"corpus: {train.num_documents:,} training documents with {train.num_tokens:,} tokens,"
        f" {validation.num_documents:,} held out with {validation.num_tokens:,};"
        f" vocabulary of {opened.tokenizer.vocab_size:,}"
    )


def _compare(output, options, parsed, progress) -> None:
    """Reports whether a complete corpus matches the options and sources; other options are an error."""
    manifest, wanted = corpus.read_manifest(output), options.as_json()
    made_with = Options(source=()).as_json() | manifest["options"]  # an older corpus lacks newer options
    if made_with != wanted:
        changed = [f"{k} was {made_with.get(k)!r}, now {v!r}" for k, v in wanted.items() if made_with.get(k) != v]
        raise CorpusError(
            f"{output} holds a corpus built with other options ({'; '.join(changed)}): choose another --output."
        )
    shutil.rmtree(output / "build", ignore_errors=True)  # left by a build that was killed after its last step
    try:
        now = [sources.units(source) for source in parsed]
        facts = [(sources.fingerprint(units), sources.modified(units)) for units in now]
    except CorpusError as error:
        progress(f"{output} is complete: nothing to do. (Could not compare its sources: {error})")
        return
    pairs = list(zip(manifest["sources"], facts, strict=True))
    changed = [source["name"] for source, (found, _) in pairs if source["fingerprint"] != found]
    # Files of the same sizes. An older manifest does not know when they were written.
    touched = [source["name"] for source, (_, when) in pairs if source.get("modified", when) != when]
    if changed:
        progress(
            f"{output} is complete, but {', '.join(changed)} changed since: it is left as it is. To build a corpus of"
            f" the new text, choose another --output."
        )
    elif touched:
        progress(
            f"{output} is complete. The files of {', '.join(touched)} were written since, or copied, though their sizes"
            " are the same: it is left as it is. If their text has changed, choose another --output."
        )
    else:
        progress(f"{output} is complete: nothing to do.")


def _build(output, options, parsed, units, given, num_workers, allow, progress) -> None:
    everything = [unit for source in parsed for unit in units[source.index]]
    first = [first_documents.read(source, units[source.index]) for source in parsed]
    decided = first_documents.decide_accents(options, first)
    if not allow:
        check_all(
            functools.partial(first_documents.check_reading, first, progress),
            functools.partial(first_documents.check_tokens, first, given[0] if given else decided, progress),
        )
    build = _start(output, options, everything, progress)
    shares = scanning.sample_shares(options, [sum(unit.size for unit in units[source.index]) for source in parsed])
    jobs = [Job(i, unit, decided, shares[unit.source.index], str(build)) for i, unit in enumerate(everything)]
    try:
        _work(output, build, options, parsed, units, jobs, given, first, num_workers, allow, progress)
    except (WorkerError, LossyTextError):
        raise
    except (CorpusError, TokenizerError):
        # A build with these sources and options can never finish.
        _remove_begun(output)
        raise
    shutil.rmtree(build)


def _work(output, build, options, parsed, units, jobs, given, first, num_workers, allow, progress) -> None:
    with Workers(min(num_workers or multiprocessing.cpu_count(), len(jobs)), progress) as workers:
        if options.trains_vocabulary or options.deduplicate != NONE:
            workers.run("reading", scanning.scan, jobs)
            held_out.check(parsed, jobs, options)
        if options.deduplicate != NONE:
            workers.run("finding repeats", repeats.find_repeats, repeats.passes(jobs))
        tokenizer = _make_tokenizer(build, jobs, given, progress)
        if options.trains_vocabulary and not allow:
            first_documents.check_tokens(first, tokenizer, progress)
        workers.run("encoding", encoding.encode, jobs)
        held_out.check(parsed, jobs, options)
    _finish(output, build, options, parsed, units, jobs, first_documents.notes(first, tokenizer), allow)


def _start(output, options, units, progress) -> epath.Path:
    """Creates the build folder, or finds that of an interrupted build of the same corpus."""
    build = output / "build"
    wanted = {
        "format": BUILD_FORMAT,
        "options": options.as_json(),
        "units": sources.fingerprint(units),
        "times": sources.modified(units),
    }
    begun = build / "options.json"
    if begun.exists() and storage.read_json(begun) == wanted:
        return build
    if begun.exists():
        progress(f"{output} was started with other options or sources: starting over.")
    _remove_begun(output)
    try:
        build.mkdir(parents=True)
        storage.write_json(begun, wanted)
    except OSError as error:
        raise CorpusError(f"--output={output} cannot be written ({error.strerror}): choose another folder.") from None
    return build


def _check_output(output: epath.Path) -> None:
    """Checks that a corpus may be built there: no such folder, an empty one, or that of an unfinished build."""
    if (output / "manifest.json").exists():
        return  # complete, but not yet uploaded
    if output.exists() and not output.is_dir():
        raise CorpusError(f"--output={output} is a file: choose a folder.")
    build = output / "build"
    if build.exists():
        # Many projects have a folder of this name. Ours holds options.json first, written under a temporary name.
        left = {path.name for path in build.iterdir()} if build.is_dir() else {"a file"}
        ours = "options.json" in left or all(map(storage.is_temporary, left))
    else:
        ours = not output.exists() or all(lock.is_claim(path.name) for path in output.iterdir())
    if not ours:
        raise CorpusError(f"{output} exists and is not a corpus: choose another --output.")


def _open_tokenizer(given: list[Tokenizer], options: Options) -> None:
    if not options.trains_vocabulary:
        try:
            given.append(load_tokenizer(options.tokenizer))
        except TokenizerError as error:
            near = did_you_mean(options.tokenizer, TRAINED)
            raise TokenizerError(f"--tokenizer={options.tokenizer}: {error}{near}") from None


def _list_units(units: dict[int, list[sources.Unit]], source: sources.Source) -> None:
    units[source.index] = sources.units(source)


def _remove_begun(output: epath.Path) -> None:
    """Removes what an unfinished build made. The build folder goes last: it shows that the rest is ours to remove."""
    for stale in output.glob(f"{shards.DATASET}-*.array_record-*") if output.exists() else ():
        stale.unlink()
    for folder in ("index", "index.partial", "build"):
        shutil.rmtree(output / folder, ignore_errors=True)
    if output.exists() and not any(output.iterdir()):
        output.rmdir()


def _make_tokenizer(build, jobs, given, progress) -> Tokenizer:
    if (build / "tokenizer").exists():
        return load_tokenizer(build / "tokenizer")
    options = jobs[0].options
    if given:
        (tokenizer,) = given
    else:
        progress(f"training a vocabulary of {options.vocab_size:,}")
        tokenizer = scanning.train_vocabulary(options, jobs, progress)
    partial = build / "tokenizer.partial"
    tokenizer.save(partial)
    partial.rename(build / "tokenizer")
    return tokenizer


def _finish(output, build, options, parsed, units, jobs, notes, allow) -> None:
    everything = [unit for source in parsed for unit in units[source.index]]
    if storage.read_json(build / "options.json")["times"] != sources.modified(everything):
        raise CorpusError(f"The files of the sources of {output} were written to while they were read: build it again.")
    summaries = [storage.read_json(job.file("encoded.json")) for job in jobs]
    described = [_describe_source(source, units[source.index], jobs, summaries) for source in parsed]
    for source, about in zip(parsed, described, strict=True):
        if not any(total["documents"] for total in about["splits"].values()):
            raise CorpusError(f"--source={source.spec} holds no text: check its files, or remove it.")
    judged = [summary.problems(s["name"], summary.numbers_of(s), s["examples"]) for s in described]
    if not allow:
        first_documents.refuse([reason for _, refusals in judged for reason in refusals])
    tokenizer = load_tokenizer(build / "tokenizer")
    for folder in (output, output / "tokenizer"):
        lock.remove_leftovers(folder)
    partial, splits = index.fresh_folder(output), {}
    for split in corpus.SPLITS:
        rows = [(job, s["splits"][split]) for job, s in zip(jobs, summaries, strict=True)]
        rows = [(job, total) for job, total in rows if total["documents"]]
        if not rows:
            raise CorpusError(
                f"The sources gave no {split} documents: add text, or change --validation_fraction"
                f" (it is {options.validation_fraction})."
            )
        totals = _sum(total for _, total in rows)
        parts = [(job.file(split), job.unit.source.index) for job, _ in rows]
        hashes = index.join(partial / split, parts, totals, tokenizer.vocab_size)
        splits[split] = totals | {"shards": _place_shards(output, split, rows), "index": hashes}
    if (output / "index").exists():
        (output / "index").rmtree()
    partial.rename(output / "index")
    tokenizer.save(output / "tokenizer")
    shards.write_metadata(output, {split: value["shards"] for split, value in splits.items()})
    counts = collections.Counter()
    for made in summaries:
        counts.update(made["counts"])
    hashes = {split: value["index"] for split, value in splits.items()}
    manifest = {
        "format_version": corpus.FORMAT_VERSION,
        "fingerprint": hashing.fingerprint({"index": hashes, "tokenizer": tokenizer.sha256}),
        "options": options.as_json(),
        "sources": described,
        "tokenizer_sha256": tokenizer.sha256,
        "vocabulary_sample": sum(job.sample * job.size for job in jobs) / max(sum(job.size for job in jobs), 1),
        "text_policy_counts": dict(sorted(counts.items())),
        "splits": splits,
        "notes": notes,
    }
    storage.write_json(output / "manifest.json", manifest)


def _place_shards(output, split, rows) -> list[dict]:
    """Moves the shards of one split to their final names, except those that an interrupted call has moved already."""
    listed = []
    for number, (job, total) in enumerate(rows):
        made, target = job.file(f"{split}.array_record"), output / shards.shard_name(split, number, len(rows))
        if made.exists():
            made.replace(target)
        listed.append(
            {"file": target.name, "records": total["documents"], "bytes": total["bytes"], "sha256": total["sha256"]}
        )
    return listed


def _describe_source(source, units, jobs, summaries) -> dict:
    own = [s for job, s in zip(jobs, summaries, strict=True) if job.unit.source.index == source.index]
    losses = Losses()
    for made in own:
        losses.add(made)
    return {
        "name": source.name,
        "spec": source.spec,
        "fingerprint": sources.fingerprint(units),
        "modified": sources.modified(units),
        "splits": {split: _sum(made["splits"][split] for made in own) for split in corpus.SPLITS},
        **losses.as_json(),
    }


def _sum(totals) -> dict[str, int]:
    totals = list(totals)
    return {key: sum(total[key] for total in totals) for key in corpus.TOTALS}
