"""The options of a corpus, and one unit of the work of building it."""

import collections
import dataclasses
from collections.abc import Iterator

from etils import epath

from bert_jax import hashing, storage
from bert_jax.corpus.builder import reading, text
from bert_jax.corpus.builder.sources import Unit
from bert_jax.errors import CorpusError, choice_problem
from bert_jax.tokenization.tokenizer import SPECIAL_TOKENS

TRAINED = ("wordpiece", "sentencepiece", "sentencepiece-bpe", "bpe")
MAX_VOCAB_SIZE = 10_000_000  # embeddings of so many pieces would fill the memory of any device
DEDUPLICATE = NONE, DOCUMENTS, PARAGRAPHS = ("none", "documents", "paragraphs")


@dataclasses.dataclass(frozen=True)
class Options:
    """Everything that decides the content of a corpus, except the content of its sources.

    Attributes:
      source: in the form that `--source` takes; several are read one after the other.
      tokenizer: one of `TRAINED` to train a vocabulary, or the path of an existing one.
      vocab_size: the largest number of pieces in a trained vocabulary.
      lowercase: whether a trained vocabulary is uncased; None: it is, except for `bpe`, which keeps all text.
      strip_accents: whether a trained WordPiece vocabulary drops accents; None: an uncased one does, as in BERT, unless
        the first documents have a script whose marks are letters, as in Hindi, Thai, Arabic, Japanese and Korean.
      character_coverage: the share of the text whose characters a trained vocabulary can spell; `bpe` spells all.
      special_tokens: extra special tokens of a trained vocabulary.
      reserved_slots: free places in a trained vocabulary for pieces to be added later.
      source_exponent: a source's share of the text that a vocabulary is trained on ~ size ** exponent; give it the
        value of `data.source_exponent` in training. 1: by size, 0.7: as in multilingual BERT, 0: all equal.
      language: the code for sentence splitting if neither a document nor its source names one.
      validation_fraction: the share of documents to hold out, chosen by the hashes of their ids. Docstrings hold out
        whole packages instead, see `docstrings.py`.
      deduplicate: `documents` drops each document that occurred before, `paragraphs` each paragraph (and so each
        repeated document, too). The first occurrence stays.
    """

    source: tuple[str, ...]
    tokenizer: str = "wordpiece"
    vocab_size: int = 30_522
    lowercase: bool | None = None
    strip_accents: bool | None = None
    character_coverage: float = 0.9995
    special_tokens: tuple[str, ...] = ()
    reserved_slots: int = 0
    source_exponent: float = 1.0
    language: str = "en"
    validation_fraction: float = 0.02
    deduplicate: str = NONE

    def __post_init__(self):
        for name in ("validation_fraction", "character_coverage"):
            if not 0 < getattr(self, name) < 1 and not (name == "character_coverage" and self.character_coverage == 1):
                raise CorpusError(f"{name}={getattr(self, name)} must lie between 0 and 1.")
        if not 8 <= self.vocab_size <= MAX_VOCAB_SIZE:
            raise CorpusError(f"vocab_size={self.vocab_size} must lie between 8 and {MAX_VOCAB_SIZE:,}.")
        if not 0 <= self.reserved_slots < self.vocab_size:
            raise CorpusError(f"reserved_slots={self.reserved_slots} must lie between 0 and vocab_size - 1.")
        if not 0 <= self.source_exponent <= 1:
            raise CorpusError(f"source_exponent={self.source_exponent} must lie between 0 and 1.")
        if self.strip_accents is not None and self.tokenizer != "wordpiece":
            raise CorpusError(
                f"strip_accents is an option of a trained WordPiece vocabulary: leave it out with"
                f" tokenizer={self.tokenizer}."
            )
        if self.tokenizer == "bpe" and self.character_coverage != Options.character_coverage:
            raise CorpusError(
                "character_coverage has no effect on tokenizer=bpe, which spells every character: leave it out."
            )
        least = 256 + len(SPECIAL_TOKENS) + len(self.special_tokens) + self.reserved_slots
        if self.tokenizer == "bpe" and self.vocab_size < least:
            raise CorpusError(
                f"vocab_size={self.vocab_size} leaves no room for 256 bytes besides {least - 256} special pieces: use"
                f" at least {least}."
            )
        if problems := choice_problem("deduplicate", self.deduplicate, DEDUPLICATE):
            raise CorpusError(*problems)

    @property
    def trains_vocabulary(self) -> bool:
        return self.tokenizer in TRAINED

    @property
    def uncased(self) -> bool:
        """Whether a trained vocabulary is uncased: see `lowercase`."""
        return self.tokenizer != "bpe" if self.lowercase is None else self.lowercase

    def as_json(self) -> dict:
        """The options as stored in a manifest."""
        stored = {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}
        return stored | {"lowercase": self.uncased}


@dataclasses.dataclass(frozen=True)
class Job:
    """One unit of work, and the paths of its results.

    Attributes:
      index: the position of the unit in the corpus.
      unit: what to read.
      options: of the corpus.
      sample: the share of documents that the vocabulary is trained on.
      build: the folder for unfinished work.
    """

    index: int
    unit: Unit
    options: Options
    sample: float
    build: str

    @property
    def size(self) -> int:
        """The approximate number of bytes of text."""
        return self.unit.size

    def file(self, suffix: str) -> epath.Path:
        """The path of one of the unit's results."""
        return epath.Path(self.build) / f"{self.index:05d}.{suffix}"

    def documents(self, counts: collections.Counter[str]) -> Iterator[tuple[reading.Document, list[str]]]:
        """Yields the documents, each with its paragraphs. At the end, `.documents.json` says how they are held out."""
        documents, held_out, lowest, highest, identifier = 0, 0, 1.0, 0.0, ""
        before = counts.copy()
        for document in reading.documents(self.unit, counts):
            if not document.part:
                share = hashing.share(document.id, "validation")
                lowest, highest, identifier = min(lowest, share), max(highest, share), document.id
                documents, held_out = documents + 1, held_out + (share < self.options.validation_fraction)
            yield document, text.paragraphs(document.text)
        kinds = ("empty_documents", "oversized_records")
        found = {"documents": documents, "held_out": held_out, "lowest": lowest, "highest": highest, "id": identifier}
        storage.write_json(self.file("documents.json"), found | {kind: counts[kind] - before[kind] for kind in kinds})

    def is_validation(self, document: reading.Document) -> bool:
        """Whether a document is held out."""
        if self.unit.validation is not None:
            return self.unit.validation
        return hashing.share(document.id, "validation") < self.options.validation_fraction

    def is_sampled(self, document: reading.Document) -> bool:
        """Whether the vocabulary is trained on a document; never if it is held out."""
        return hashing.share(document.id, "vocabulary") < self.sample and not self.is_validation(document)
