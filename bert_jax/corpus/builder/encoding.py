"""The second pass over a unit: sentences, token ids, shards, and the unit's parts of the index."""

import contextlib
import functools
import itertools
import os
from collections.abc import Iterable, Iterator

import numpy as np
from etils import epath

from bert_jax import hashing, storage
from bert_jax.corpus import index, shards
from bert_jax.corpus import store as corpus
from bert_jax.corpus.builder import job as jobs
from bert_jax.corpus.builder import text
from bert_jax.corpus.builder.job import Job
from bert_jax.corpus.builder.losses import Losses
from bert_jax.corpus.builder.reading import Document
from bert_jax.corpus.builder.repeats import Repeats
from bert_jax.corpus.summary import LENGTHS
from bert_jax.tokenization import Tokenizer, load_tokenizer

# A longer "sentence" is cut, so that no text is lost to truncation and a single line cannot fill the memory.
MAX_SENTENCE_TOKENS = LENGTHS[-1]
# How much text is tokenized at a time.
BATCH_CHARACTERS = 1 << 19


def encode(job: Job) -> None:
    """Writes the documents of one unit: for each split, a shard and a part of the index.

    `.encoded.json` marks the unit as done. It holds how much each split got, the size and hash of each shard, and the
    fields of `Losses`.
    """
    if job.file("encoded.json").exists():
        return
    folder = f"{job.build}/tokenizer"
    tokenizer = _tokenizer(folder, os.stat(folder).st_mtime_ns)
    losses = Losses()
    with contextlib.ExitStack() as stack:
        outputs = {split: stack.enter_context(_Output(job, split, tokenizer)) for split in corpus.SPLITS}
        for batch in _batches(_kept(job, losses), losses):
            texts = itertools.chain.from_iterable(_spaced(sentences, tokenizer) for _, sentences in batch)
            encoded = iter(tokenizer.encode_batch(texts))
            for document, sentences in batch:
                ids = list(itertools.islice(encoded, len(sentences)))
                pieces = _pieces(ids, losses.counts)
                if pieces:
                    split = corpus.VALIDATION if job.is_validation(document) else corpus.TRAIN
                    unknown = outputs[split].write(document, pieces)
                    losses.add_tokens(document, sentences, ids, unknown, tokenizer)
                else:
                    losses.counts["documents_without_text"] += 1
    splits = {split: output.summary() for split, output in outputs.items()}
    storage.write_json(job.file("encoded.json"), {"splits": splits} | losses.as_json())


@functools.lru_cache(1)
def _tokenizer(path: str, _: int) -> Tokenizer:
    """Keeps the tokenizer and its cache of words between units, while the folder's modification time is the same."""
    return load_tokenizer(path)


def _kept(job: Job, losses: Losses) -> Iterator[tuple[Document, list[str]]]:
    """Yields documents and their paragraphs, without those that occurred before."""
    counts = losses.counts
    if job.options.deduplicate == jobs.NONE:
        yield from job.documents(counts)
        return
    repeats, by_document = Repeats(job), job.options.deduplicate == jobs.DOCUMENTS
    for document, lines in job.documents(counts):
        if by_document:
            kept = [] if repeats.take(1)[0] else lines
        else:
            repeated = repeats.take(len(lines))
            kept = list(itertools.compress(lines, ~repeated))
            counts["repeated_paragraphs"] += len(lines) - len(kept)
            if len(kept) < len(lines):
                losses.add_example("repeated_paragraphs", document, lines[int(repeated.argmax())])
        counts["repeated_characters"] += sum(map(len, lines)) - sum(map(len, kept))
        if kept:
            yield document, kept
        else:
            counts["repeated_documents"] += bool(lines)
            losses.add_document(document)


def _batches(documents: Iterable, losses: Losses) -> Iterator[list[tuple[Document, list[str]]]]:
    """Yields runs of documents, each with its sentences."""
    batch, size = [], 0
    for document, lines in documents:
        batch.append((document, [s for line in lines for s in text.sentences(line, document.language, losses.counts)]))
        losses.add_document(document)
        size += len(document.text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _spaced(sentences: list[str], tokenizer: Tokenizer) -> list[str]:
    """Puts the space between sentences back where it makes a difference."""
    if not tokenizer.needs_space:
        return sentences
    return [f" {sentence}" if i else sentence for i, sentence in enumerate(sentences)]


def _pieces(encoded: Iterable[list[int]], counts) -> list[list[int]]:
    """Drops empty sentences, and cuts those longer than `MAX_SENTENCE_TOKENS`."""
    pieces = []
    for ids in encoded:
        if len(ids) <= MAX_SENTENCE_TOKENS:
            if ids:
                pieces.append(ids)
        else:
            counts["long_sentences"] += 1
            pieces += [ids[i : i + MAX_SENTENCE_TOKENS] for i in range(0, len(ids), MAX_SENTENCE_TOKENS)]
    return pieces


class _Output:
    """Writes the documents of one unit and one split. A context manager."""

    def __init__(self, job: Job, split: str, tokenizer: Tokenizer):
        self._path, self._source = job.file(f"{split}.array_record"), job.unit.source.index
        self._unknown, self._word_starts = tokenizer.unk_id, tokenizer.word_starts
        self._stack = contextlib.ExitStack()
        self._shard = self._stack.enter_context(shards.Writer(self._path))
        self._part = self._stack.enter_context(index.PartWriter(job.file(split), tokenizer.vocab_size))
        self._totals = dict.fromkeys(corpus.TOTALS, 0)

    def write(self, document: Document, pieces: list[list[int]]) -> int:
        """Appends a document of at least one sentence, and returns its number of unknown tokens."""
        lengths = np.fromiter(map(len, pieces), np.int32, len(pieces))
        token_ids = np.fromiter(itertools.chain.from_iterable(pieces), np.int32, int(lengths.sum()))
        identifier = f"{document.id}#{document.part}" if document.part else document.id
        self._shard.write(identifier, self._source, token_ids, lengths)
        self._part.write(token_ids, lengths)
        begins = self._word_starts[token_ids]
        begins[np.cumsum(lengths) - lengths] = True  # some vocabularies do not mark the first word of a text
        words, unknown = int(begins.sum()), int((token_ids == self._unknown).sum())
        for key, count in zip(corpus.TOTALS, (1, len(lengths), len(token_ids), words, unknown), strict=True):
            self._totals[key] += count
        return unknown

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.__exit__(*error)

    def summary(self) -> dict:
        """What was written: `store.TOTALS`, and the size and hash of the shard."""
        path: epath.Path = self._path
        return self._totals | {"bytes": path.stat().length, "sha256": hashing.sha256(path)}
