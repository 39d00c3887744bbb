"""Damaged corpora: shards, indexes, manifests and tokenizers, and what opening them makes of it."""

import dataclasses
import pathlib
import random
import shutil
from collections.abc import Callable, Iterator

import numpy as np

from bert_jax.corpus.store import SPLITS, open_corpus
from tests.survival.attempts import Attempt, many
from tests.survival.mutations import mutate_file, scramble
from tests.survival.outcomes import Outcome
from tests.survival.place import Place

TEXTS = ("the end and the end.", "Ünknown words, 日本")


def files(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Damages files of a corpus, whose index is also missing every second time, so that it comes from the shards."""
    yield from many(
        place, "a corpus is damaged", f"{__name__}:open_files", count, seed, place.corpus, place.new_folder()
    )


def manifests(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Changes nodes of manifests."""
    given = place.corpus, place.new_folder()
    yield from many(place, "a manifest changes", f"{__name__}:open_manifests", count, seed, *given)


def tokenizers(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Changes the files of a WordPiece vocabulary and of a SentencePiece model."""
    given = place.corpus, place.sentencepiece_corpus, place.new_folder()
    yield from many(place, "a tokenizer changes", f"{__name__}:open_tokenizers", count, seed, *given)


def open_files(template: str, scratch: str):
    corpus = _Copy(template, scratch)
    names = [name for name in corpus.names if not name.startswith("tokenizer/") and name != "manifest.json"]

    def inject(number: int, rng: random.Random) -> Iterator[Attempt]:
        name = rng.choice([name for name in names if name.startswith("index/") == bool(number % 2)])
        how = corpus.harm([name], scramble, rng)
        if not number % 2:
            shutil.rmtree(corpus.copy / "index")
        kind = "array of the index" if number % 2 else "shard of a corpus without an index"
        yield f"an {kind} is damaged".replace("an s", "a s"), how, corpus.is_same

    return inject


def open_manifests(template: str, scratch: str):
    corpus = _Copy(template, scratch)

    def inject(number: int, rng: random.Random) -> Iterator[Attempt]:
        way = mutate_file if rng.random() < 0.8 else scramble
        yield "a node or bytes of manifest.json change", corpus.harm(["manifest.json"], way, rng), corpus.is_same

    return inject


def open_tokenizers(wordpiece: str, sentencepiece: str, scratch: str):
    corpora = [_Copy(path, f"{scratch}/{name}") for path, name in ((wordpiece, "words"), (sentencepiece, "pieces"))]

    def inject(number: int, rng: random.Random) -> Iterator[Attempt]:
        corpus, kind = corpora[number % 2], ("a WordPiece vocabulary", "a SentencePiece model")[number % 2]
        names = [name for name in corpus.names if name.startswith("tokenizer/")]
        yield f"{kind} changes", corpus.harm(names, scramble, rng), corpus.is_same

    return inject


class _Copy:
    """A copy of a corpus, to be damaged and compared."""

    def __init__(self, template: str, scratch: str):
        self.template, self.copy = pathlib.Path(template), pathlib.Path(scratch) / "corpus"
        self.names = sorted(str(p.relative_to(template)) for p in self.template.rglob("*") if p.is_file())
        self.expected = _content(self.template)

    def harm(self, names: list[str], way: Callable[[pathlib.Path, random.Random], str], rng: random.Random) -> str:
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.template, self.copy)
        return way(self.copy / rng.choice(names), rng)

    def is_same(self) -> bool:
        found = _content(self.copy)
        return all(np.array_equal(one, other) for one, other in zip(found, self.expected, strict=True))


def _content(folder: pathlib.Path) -> list[np.ndarray]:
    """All that a run reads of a corpus."""
    corpus = open_corpus(folder)
    arrays = [
        np.asarray(getattr(getattr(corpus, split), field.name))
        for split in SPLITS
        for field in dataclasses.fields(corpus.train)
        if field.name != "files"
    ]
    return [*arrays, *(np.asarray(corpus.tokenizer.encode(text)) for text in TEXTS), np.array(corpus.tokenizer.sha256)]
