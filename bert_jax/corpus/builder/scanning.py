"""The first pass over a unit: the sample for training the vocabulary, and hashes for finding repeats.

A build with an existing vocabulary that keeps repeats does not need it.
"""

import collections
import contextlib
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bert_jax import storage
from bert_jax.corpus.builder import job as jobs
from bert_jax.corpus.builder import text
from bert_jax.corpus.builder.job import Job, Options
from bert_jax.corpus.builder.repeats import RepeatsWriter
from bert_jax.errors import CorpusError
from bert_jax.tokenization import Tokenizer
from bert_jax.tokenization.training import count_words, train_byte_level, train_sentencepiece, train_wordpiece

# Vocabularies are trained on a sample of documents, chosen by their hashes, of about this many bytes of text. WordPiece
# only keeps its words; SentencePiece's trainer takes some 20 bytes of memory per character, that of byte-level BPE some
# 100 per byte of a distinct word.
SAMPLE_BYTES = {"wordpiece": 256 << 20, "sentencepiece": 32 << 20, "sentencepiece-bpe": 32 << 20, "bpe": 64 << 20}
# Text without spaces has hardly a word that occurs twice, so that a byte of it counts as much as these of others.
UNSPACED_BYTES = 16
# How many distinct words and paragraphs are kept in memory. Beyond that, the rarer half of the words is dropped.
MAX_WORDS = 1 << 20
MAX_PARAGRAPHS = 1 << 20
WORD_BATCH = 1 << 12
SECONDS_BETWEEN_LINES = 5
# Longer sentences are cut for SentencePiece, whose own limit would skip them.
SAMPLE_LINE = 1024


def sample_shares(options: Options, source_bytes: Sequence[int]) -> list[float]:
    """The share of each source's documents to train the vocabulary on; 0 with an existing vocabulary.

    Together they make `SAMPLE_BYTES`, divided by `source_exponent`: a small source may give all it has.
    """
    sizes = [max(size, 1) for size in source_bytes]
    wanted = min(SAMPLE_BYTES.get(options.tokenizer, 0), sum(sizes))
    weights = sum(size**options.source_exponent for size in sizes)
    return [min(1.0, wanted / weights * size ** (options.source_exponent - 1)) for size in sizes]


def scan(job: Job) -> None:
    """Reads one unit; `.scanned.json` marks it as done.

    Writes the files of `RepeatsWriter`, and `.words.json` for WordPiece or `.sample.txt` for the others.
    """
    if job.file("scanned.json").exists():
        return
    options = job.options
    with contextlib.ExitStack() as stack:
        repeats = None if options.deduplicate == jobs.NONE else stack.enter_context(RepeatsWriter(job))
        sizes = collections.Counter(characters=0, sampled=0)
        paragraphs = _sampled(job, repeats, sizes)
        if options.tokenizer == "wordpiece":
            words = collections.Counter()
            for batch in iter(lambda: list(itertools.islice(paragraphs, WORD_BATCH)), []):
                _add_words(
                    words, count_words([paragraph for paragraph, _ in batch], options.uncased, options.strip_accents)
                )
            storage.write_json(job.file("words.json"), dict(sorted(words.items())))
        elif options.trains_vocabulary:
            with job.file("sample.txt").open("wb") as file:
                for paragraph, language in paragraphs:
                    file.writelines(_sample_lines(paragraph, language))
        collections.deque(paragraphs, maxlen=0)  # without a sample, the hashes are still needed
    storage.write_json(job.file("scanned.json"), {"runs": repeats.runs if repeats else []} | sizes)


def _sampled(job: Job, repeats: RepeatsWriter | None, sizes: collections.Counter[str]) -> Iterator[tuple[str, str]]:
    """Yields the paragraphs to train on, each with its language.

    On the way, adds all items of the unit to `repeats`, and the characters of the unit and of its sample to `sizes`.
    """
    seen, by_document = set(), job.options.deduplicate == jobs.DOCUMENTS
    for document, lines in job.documents(collections.Counter()):
        hashes = []
        sizes["characters"] += len(document.text)
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
        sizes["sampled"] += sum(map(len, lines))
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


def train_vocabulary(options: Options, scanned: Sequence[Job], progress: Callable[[str], None]) -> Tokenizer:
    """Trains the vocabulary on the samples of the units, in their order.

    Args:
      options: of the corpus.
      scanned: the units.
      progress: is called with progress messages.

    Raises:
      CorpusError: there is no text.
      TokenizerError: there is too little text, or `vocab_size` is too small for its characters.
    """
    weights = _weights(options, scanned)
    chosen: dict[str, Any] = {
        "lowercase": options.uncased,
        "special_tokens": options.special_tokens,
        "reserved_slots": options.reserved_slots,
    }
    if options.tokenizer == "wordpiece":
        words, least = collections.Counter(), min(filter(None, weights.values()), default=1.0)
        for job in scanned:
            weight = weights[job.unit.source.index] / least  # at least 1, so that rounding drops no word
            found = storage.read_json(job.file("words.json"))
            _add_words(words, collections.Counter({word: round(weight * count) for word, count in found.items()}))
        if words:
            chosen |= {"strip_accents": options.strip_accents, "character_coverage": options.character_coverage}
            return train_wordpiece(words, options.vocab_size, **chosen)
    elif any(job.file("sample.txt").stat().length for job in scanned):
        lines = _lines(options, scanned, weights, progress)
        if options.tokenizer == "bpe":
            return train_byte_level(lines, options.vocab_size, **chosen)
        chosen["model_type"] = "bpe" if options.tokenizer == "sentencepiece-bpe" else "unigram"
        return train_sentencepiece(lines, options.vocab_size, character_coverage=options.character_coverage, **chosen)
    raise CorpusError(
        f"The sources hold no text to train on: add documents, or hold out fewer"
        f" (validation_fraction is {options.validation_fraction})."
    )


def source_weights(options: Options, characters: Mapping[int, int], sampled: Mapping[int, int]) -> dict[int, float]:
    """How often the sample of each source counts, so that its share of the text ~ size ** `source_exponent`.

    Args:
      options: of the corpus.
      characters: the size of each source, by its index.
      sampled: the size of its sample.

    Returns:
      A weight for each source; 1 with an exponent of 1. Weighted, the samples are as large as before together.
    """
    if options.source_exponent == 1:
        return dict.fromkeys(characters, 1.0)
    wanted = {source: size**options.source_exponent for source, size in characters.items() if sampled[source]}
    unit = sum(sampled.values()) / max(sum(wanted.values()), 1e-9)
    return {source: unit * wanted[source] / sampled[source] if source in wanted else 0.0 for source in characters}


def _weights(options: Options, scanned: Sequence[Job]) -> dict[int, float]:
    characters, sampled = collections.Counter(), collections.Counter()
    for job in scanned:
        found = storage.read_json(job.file("scanned.json"))
        characters[job.unit.source.index] += found["characters"]
        sampled[job.unit.source.index] += found["sampled"]
    return source_weights(options, characters, sampled)


def _lines(
    options: Options, scanned: Sequence[Job], weights: dict[int, float], progress: Callable[[str], None]
) -> Iterator[str]:
    """The lines of all samples, each as often as the weight of its source says."""
    # Text that compresses better than usual gives a larger sample than intended, which must still fit into memory.
    costs = [weights[job.unit.source.index] * _cost(options, job) for job in scanned]
    thinning = min(1.0, 2 * SAMPLE_BYTES[options.tokenizer] / max(sum(costs), 1))
    begin = last = time.monotonic()
    for number, job in enumerate(scanned):
        weight = thinning * weights[job.unit.source.index]
        draws = random.Random(job.index)  # not every n-th line: a document may have n lines
        with job.file("sample.txt").open("rb") as file:
            for line in file:
                for _ in range(int(weight) + (draws.random() < weight % 1)):
                    yield line.decode().removesuffix("\n")
        if time.monotonic() - last > SECONDS_BETWEEN_LINES and number + 1 < len(scanned):
            progress(f"training a vocabulary: {sum(costs[: number + 1]) / max(sum(costs), 1):.0%} of the sample read")
            last = time.monotonic()
    if time.monotonic() - begin > SECONDS_BETWEEN_LINES:
        progress("training a vocabulary: the sample is read, learning pieces from it")


def _cost(options: Options, job: Job) -> int:
    """The size of a sample in bytes; for byte-level BPE, lines without spaces count several times."""
    if options.tokenizer != "bpe":
        return job.file("sample.txt").stat().length
    with job.file("sample.txt").open("rb") as file:
        return sum(len(line) * (UNSPACED_BYTES if _is_unspaced(line) else 1) for line in file)


def _is_unspaced(line: bytes) -> bool:
    """Whether less than one byte in fifty is a space: words of text with spaces have some 5 to 20 bytes."""
    return 50 * line.count(b" ") < len(line)
