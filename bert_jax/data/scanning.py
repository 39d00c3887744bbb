"""The first reading of a unit: what the vocabulary is trained on, and hashes to find repeats by.

A build that is given its vocabulary and keeps repeats goes without.
"""

import collections
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence

from bert_jax import storage
from bert_jax.data import job as jobs
from bert_jax.data import text
from bert_jax.data.job import Job, Options
from bert_jax.data.repeats import RepeatsWriter
from bert_jax.errors import CorpusError
from bert_jax.tokenization import Tokenizer
from bert_jax.tokenization.training import count_words, train_sentencepiece, train_wordpiece

# Vocabularies are trained on a sample of documents, chosen by their hashes, of about so many bytes of text. WordPiece
# needs its words alone; SentencePiece's trainer takes some 20 bytes of memory for each character.
SAMPLE_BYTES = {"wordpiece": 256 << 20, "sentencepiece": 32 << 20, "sentencepiece-bpe": 32 << 20}
# Different words, and different paragraphs, that are kept in memory: past this the rarer half of the words goes.
MAX_WORDS = 1 << 20
MAX_PARAGRAPHS = 1 << 20
WORD_BATCH = 1 << 12
# SentencePiece gets longer sentences in pieces: its own limit would leave them out.
SAMPLE_LINE = 1024


def sample_share(options: Options, total_bytes: int) -> float:
    """Share of documents that the vocabulary is trained on; 0 where one is given."""
    return min(1.0, SAMPLE_BYTES.get(options.tokenizer, 0) / max(total_bytes, 1))


def scan(job: Job) -> None:
    """Reads one unit once; `.scanned.json` makes it done.

    Beside the files of `RepeatsWriter` it writes `.words.json` for WordPiece or `.sample.txt` for SentencePiece.
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
        collections.deque(paragraphs, maxlen=0)  # the hashes are wanted without the words, too
    storage.write_json(job.file("scanned.json"), {"runs": repeats.runs if repeats else []})


def _sampled(job: Job, repeats: RepeatsWriter | None) -> Iterator[tuple[str, str]]:
    """Paragraphs to train on, each with its language; notes every document or paragraph on the way."""
    seen, by_document = set(), job.options.deduplicate == jobs.DOCUMENTS
    for document, lines in job.documents(collections.Counter()):
        hashes = []
        if repeats is not None:
            hashes = repeats.add(["\n".join(lines)] if by_document else lines)
        if not job.is_sampled(document):
            continue
        # Repeats within a unit are left out of the sample; those between units are not known yet.
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
    """The vocabulary of the units' samples, merged in their order.

    Raises:
      CorpusError: no text.
      TokenizerError: too little text, or a vocabulary too small for its characters.
    """
    head = {"special_tokens": options.special_tokens, "reserved_slots": options.reserved_slots}
    chosen = head | {"lowercase": options.lowercase, "character_coverage": options.character_coverage}
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
        f"The sources hold no text to train on: give more documents, or hold out fewer"
        f" (validation_fraction is {options.validation_fraction})."
    )


def _lines(scanned: Iterable[Job]) -> Iterator[str]:
    # Text that compresses better than usual gives a larger sample than was meant: memory must hold all the same.
    left = 2 * SAMPLE_BYTES["sentencepiece"]
    for job in scanned:
        with job.file("sample.txt").open("rb") as file:
            for line in file:
                left -= len(line)
                if left < 0:
                    return
                yield line.decode().removesuffix("\n")
