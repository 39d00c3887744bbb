"""The first pass over a unit: the sample for training the vocabulary, and hashes for finding repeats.

A build with an existing vocabulary that keeps repeats does not need it.
"""

import collections
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bert_jax import storage
from bert_jax.corpus.builder import job as jobs
from bert_jax.corpus.builder import text
from bert_jax.corpus.builder.job import Job, Options
from bert_jax.corpus.builder.repeats import RepeatsWriter
from bert_jax.errors import CorpusError
from bert_jax.tokenization import Tokenizer
from bert_jax.tokenization.training import count_words, train_sentencepiece, train_wordpiece

# Vocabularies are trained on a sample of documents, chosen by their hashes, of about this many bytes of text. WordPiece
# only keeps its words; SentencePiece's trainer takes some 20 bytes of memory per character.
SAMPLE_BYTES = {"wordpiece": 256 << 20, "sentencepiece": 32 << 20, "sentencepiece-bpe": 32 << 20}
# How many distinct words and paragraphs are kept in memory. Beyond that, the rarer half of the words is dropped.
MAX_WORDS = 1 << 20
MAX_PARAGRAPHS = 1 << 20
WORD_BATCH = 1 << 12
# Longer sentences are cut for SentencePiece, whose own limit would skip them.
SAMPLE_LINE = 1024


def sample_share(options: Options, total_bytes: int) -> float:
    """The share of documents to train the vocabulary on; 0 with an existing vocabulary."""
    return min(1.0, SAMPLE_BYTES.get(options.tokenizer, 0) / max(total_bytes, 1))


def scan(job: Job) -> None:
    """Reads one unit; `.scanned.json` marks it as done.

    Writes the files of `RepeatsWriter`, and `.words.json` for WordPiece or `.sample.txt` for SentencePiece.
    """
    if job.file("scanned.json").exists():
        return
    options = job.options
    with contextlib.ExitStack() as stack:
        repeats = None if options.deduplicate == jobs.NONE else stack.enter_context(RepeatsWriter(job))
        paragraphs = _sampled(job, repeats)
        if options.tokenizer == "wordpiece":
            words = collections.Counter()
            for batch in iter(lambda: list(itertools.islice(paragraphs, WORD_BATCH)), []):
                _add_words(words, count_words([paragraph for paragraph, _ in batch], options.lowercase))
            storage.write_json(job.file("words.json"), dict(sorted(words.items())))
        elif options.trains_vocabulary:
            with job.file("sample.txt").open("wb") as file:
                for paragraph, language in paragraphs:
                    file.writelines(_sample_lines(paragraph, language))
        collections.deque(paragraphs, maxlen=0)  # without a sample, the hashes are still needed
    storage.write_json(job.file("scanned.json"), {"runs": repeats.runs if repeats else []})


def _sampled(job: Job, repeats: RepeatsWriter | None) -> Iterator[tuple[str, str]]:
    """Yields the paragraphs to train on, each with its language. Adds all items of the unit to `repeats` on the way."""
    seen, by_document = set(), job.options.deduplicate == jobs.DOCUMENTS
    for document, lines in job.documents(collections.Counter()):
        hashes = []
        if repeats is not None:
            hashes = repeats.add(["\n".join(lines)] if by_document else lines)
        if not job.is_sampled(document):
            continue
        # Repeats within a unit are left out of the sample. Repeats across units are not known yet.
        fresh = [value not in seen for value in hashes]
        seen.update(hashes)
        if len(seen) > MAX_PARAGRAPHS:
            seen.clear()
        if by_document:
            lines = lines if fresh[0] else []
        elif hashes:
            lines = list(itertools.compress(lines, fresh))
        for line in lines:
            yield line, document.language


def _add_words(words: collections.Counter[str], more: collections.Counter[str]) -> None:
    words.update(more)
    if len(words) > MAX_WORDS:
        kept = sorted(words, key=lambda word: (-words[word], word))[: MAX_WORDS // 2]
        counts = {word: words[word] for word in kept}
        words.clear()
        words.update(counts)


def _sample_lines(paragraph: str, language: str) -> Iterator[bytes]:
    for sentence in text.sentences(paragraph, language, collections.Counter()):
        for start in range(0, len(sentence), SAMPLE_LINE):
            yield (sentence[start : start + SAMPLE_LINE] + "\n").encode()


def train_vocabulary(options: Options, scanned: Sequence[Job]) -> Tokenizer:
    """Trains the vocabulary on the samples of the units, in their order.

    Raises:
      CorpusError: there is no text.
      TokenizerError: there is too little text, or `vocab_size` is too small for its characters.
    """
    chosen: dict[str, Any] = {
        "lowercase": options.lowercase,
        "character_coverage": options.character_coverage,
        "special_tokens": options.special_tokens,
        "reserved_slots": options.reserved_slots,
    }
    if options.tokenizer == "wordpiece":
        words = collections.Counter()
        for job in scanned:
            _add_words(words, storage.read_json(job.file("words.json")))
        if words:
            return train_wordpiece(words, options.vocab_size, **chosen)
    elif any(job.file("sample.txt").stat().length for job in scanned):
        model_type = "bpe" if options.tokenizer == "sentencepiece-bpe" else "unigram"
        return train_sentencepiece(_lines(scanned), options.vocab_size, model_type=model_type, **chosen)
    raise CorpusError(
        f"The sources hold no text to train on: add documents, or hold out fewer"
        f" (validation_fraction is {options.validation_fraction})."
    )


def _lines(scanned: Iterable[Job]) -> Iterator[str]:
    # Text that compresses better than usual gives a larger sample than intended, which must still fit into memory.
    left = 2 * SAMPLE_BYTES["sentencepiece"]
    for job in scanned:
        with job.file("sample.txt").open("rb") as file:
            for line in file:
                left -= len(line)
                if left < 0:
                    return
                yield line.decode().removesuffix("\n")
