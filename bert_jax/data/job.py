"""What decides the content of a corpus, and the part of the work that one unit is."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator

from etils import epath

from bert_jax.data import reading, text
from bert_jax.data.sources import Unit
from bert_jax.errors import CorpusError, choice_problem

TRAINED = ("wordpiece", "sentencepiece", "sentencepiece-bpe")
DEDUPLICATE = NONE, DOCUMENTS, PARAGRAPHS = ("none", "documents", "paragraphs")


@dataclasses.dataclass(frozen=True)
class Options:
    """What decides the content of a corpus, beside the sources' own content.

    Attributes:
      source: what `--source` takes; several are read one after the other.
      tokenizer: one of `TRAINED` trains a vocabulary; anything else is the path of one.
      vocab_size: pieces of a trained vocabulary at most.
      lowercase: whether a trained vocabulary is uncased.
      character_coverage: share of the text whose characters a trained vocabulary can spell.
      special_tokens: extra special tokens of a trained vocabulary.
      reserved_slots: places in a trained vocabulary for pieces that someone adds later.
      language: code for sentence splitting where neither a document nor its source names one.
      validation_fraction: share of documents held out, by the hash of each one's id; docstrings hold out whole
        packages instead, see `docstrings.py`.
      deduplicate: `documents` drops each document that occurred before, `paragraphs` each paragraph (and so each such
        document, too); the first occurrence stays.
    """

    source: tuple[str, ...]
    tokenizer: str = "wordpiece"
    vocab_size: int = 30_522
    lowercase: bool = True
    character_coverage: float = 0.9995
    special_tokens: tuple[str, ...] = ()
    reserved_slots: int = 0
    language: str = "en"
    validation_fraction: float = 0.02
    deduplicate: str = NONE

    def __post_init__(self):
        for name in ("validation_fraction", "character_coverage"):
            if not 0 < getattr(self, name) < 1 and not (name == "character_coverage" and self.character_coverage == 1):
                raise CorpusError(f"{name}={getattr(self, name)} must lie between 0 and 1.")
        if problems := choice_problem("deduplicate", self.deduplicate, DEDUPLICATE):
            raise CorpusError(*problems)

    @property
    def trains_vocabulary(self) -> bool:
        return self.tokenizer in TRAINED

    def as_json(self) -> dict:
        """The options as a manifest holds them."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True)
class Job:
    """One unit of work and where its results go.

    Attributes:
      index: the unit's place in the corpus.
      unit: what is read.
      options: of the corpus.
      sample: share of the documents that the vocabulary is trained on.
      build: the folder of unfinished work.
    """

    index: int
    unit: Unit
    options: Options
    sample: float
    build: str

    @property
    def size(self) -> int:
        """Bytes of text, about."""
        return self.unit.size

    def file(self, suffix: str) -> epath.Path:
        """Path of one of the unit's results."""
        return epath.Path(self.build) / f"{self.index:05d}.{suffix}"

    def documents(self, counts: collections.Counter[str]) -> Iterator[tuple[reading.Document, list[str]]]:
        """The documents, each with its paragraphs."""
        for document in reading.documents(self.unit, counts):
            yield document, text.paragraphs(document.text)

    def is_validation(self, document: reading.Document) -> bool:
        """Whether a document is held out."""
        if self.unit.validation is not None:
            return self.unit.validation
        return _share(document.id, "validation") < self.options.validation_fraction

    def is_sampled(self, document: reading.Document) -> bool:
        """Whether a vocabulary is trained on a document: never on one that is held out."""
        return _share(document.id, "vocabulary") < self.sample and not self.is_validation(document)


def _share(identifier: str, purpose: str) -> float:
    """A number in [0, 1) that belongs to a document, the same everywhere."""
    digest = hashlib.sha256(f"{purpose}:{identifier}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
