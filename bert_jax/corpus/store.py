"""A stored corpus as training reads it: flat, memory-mapped arrays with sentence and document boundaries.

corpus/
  manifest.json          contents, hashes and options; written last: a folder without it is incomplete
  tokenizer/             the vocabulary that the ids belong to
  corpus-SPLIT.array_record-*, features.json, dataset_info.json      the exchange form (shards.py)
  index/SPLIT/*.npy      derived from the shards, and rebuilt if missing or damaged (not in a bucket); in the
                         cache if read-only
"""

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Iterator

import numpy as np
from absl import logging
from etils import epath

from bert_jax import hashing, storage
from bert_jax.corpus import buckets as remote
from bert_jax.corpus import index, shards
from bert_jax.corpus.watched_file import WatchedFile
from bert_jax.errors import CorpusError, TokenizerError, quoted
from bert_jax.forms import problem
from bert_jax.tokenization import Tokenizer, load_tokenizer

FORMAT_VERSION = 2
TRAIN, VALIDATION = SPLITS = ("train", "validation")
# What the manifest counts in each split and source. Words are those of the tokenizer, with punctuation (`word_starts`).
TOTALS = ("documents", "sentences", "tokens", "words", "unknown_tokens")
_SPLIT = {
    **dict.fromkeys(("documents", "sentences", "tokens"), int),
    "index": dict.fromkeys(index.ARRAYS, str),
    "shards": [{"file": str, "bytes": int, "sha256": str}],
}
_SOURCE = {
    "name": str,
    "splits": {split: {str: int} for split in SPLITS},
    "sizes?": {str: int},
    "counts?": {str: int},
    "examples?": {str: [{"document": str, "text": str}]},
}
FORM = {
    "fingerprint": str,
    "options": dict,
    "sources": [_SOURCE],
    "tokenizer_sha256": str,
    "splits": {split: _SPLIT for split in SPLITS},
    "vocabulary_sample?": float,
    "notes?": [str],
}
# How many tokens are counted at a time.
PIECE = 1 << 24


@dataclasses.dataclass(frozen=True)
class Split:
    """The documents of one split, one after the other.

    Attributes:
      token_ids: uint16 or uint32 [tokens].
      sentence_starts: int64 [sentences + 1], the first token of each sentence, then the number of tokens.
      document_starts: int64 [documents + 1], the first sentence of each document, then the end of the last one.
      document_sources: int32 [documents], the index of each document's source, in ascending order.
      vocab_size: V.
      stored_counts: int64 [V], `token_counts` if they are known; otherwise None.
      files: what the arrays are mapped from.
    """

    token_ids: np.ndarray
    sentence_starts: np.ndarray
    document_starts: np.ndarray
    document_sources: np.ndarray
    vocab_size: int
    stored_counts: np.ndarray | None = None
    files: tuple[WatchedFile, ...] = ()

    def check_unchanged(self) -> None:
        """Checks that nobody has written to the files since they were opened. Takes microseconds.

        Raises:
          CorpusError: somebody has. Numbers may be others now; behind the end of a file, reading ends the process.
        """
        for file in self.files:
            file.check()

    @property
    def num_documents(self) -> int:
        return len(self.document_starts) - 1

    @property
    def num_tokens(self) -> int:
        return int(self.sentence_starts[self.document_starts[-1]] - self.sentence_starts[self.document_starts[0]])

    def of_source(self, source: int) -> "Split":
        """A view of the documents of one source. Tokens and sentences keep their indices."""
        first, last = np.searchsorted(self.document_sources, [source, source + 1])
        return dataclasses.replace(
            self,
            document_starts=self.document_starts[first : last + 1],
            document_sources=self.document_sources[first:last],
            stored_counts=None,
        )

    @functools.cached_property
    def token_counts(self) -> np.ndarray:
        """int64 [V], how often each id occurs in these documents. In a view, the first use reads all its tokens."""
        if self.stored_counts is not None:
            return self.stored_counts
        begin, end = (int(self.sentence_starts[self.document_starts[i]]) for i in (0, -1))
        counts = np.zeros(self.vocab_size, np.int64)
        for piece in range(begin, end, PIECE):
            counts += np.bincount(self.token_ids[piece : min(piece + PIECE, end)], minlength=len(counts))
        return counts


@dataclasses.dataclass(frozen=True, repr=False)
class Corpus:
    """An open corpus: two splits, the tokenizer and the manifest (`build/prepare.py` writes its fields)."""

    train: Split
    validation: Split
    tokenizer: Tokenizer
    manifest: dict

    def __repr__(self) -> str:
        return (
            f"Corpus({', '.join(self.sources[:4])}{', …' if self.sources[4:] else ''}: {self.train.num_documents:,}"
            f" training documents, {self.validation.num_documents:,} held out, {self.tokenizer.vocab_size:,} words)"
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources, in the order of their indices."""
        return tuple(source["name"] for source in self.manifest["sources"])

    @property
    def fingerprint(self) -> str:
        """A hash of the content: equal fingerprints give equal batches."""
        return self.manifest["fingerprint"]


def open_corpus(directory: epath.PathLike) -> Corpus:
    """Opens a corpus for training, and rebuilds its index if that is missing or damaged.

    The vocabulary and the index are verified by their hashes. Shards are verified by their hashes if the index is
    rebuilt from them; otherwise training does not read them, and only their sizes are compared.

    Raises:
      CorpusError: the corpus is missing, incomplete, damaged, or of another format version.
    """
    directory = epath.Path(directory).expanduser()
    manifest = read_manifest(directory)
    try:
        tokenizer = load_tokenizer(directory / "tokenizer")
    except TokenizerError as error:
        raise CorpusError(f"{directory}/tokenizer cannot be read: {error}") from None
    if tokenizer.sha256 != manifest["tokenizer_sha256"]:
        raise CorpusError(f"{directory}/tokenizer is not the one that this corpus was built with: restore it.")
    if not remote.is_remote(directory):
        _compare_sizes(directory, manifest)
        splits = _open_local(directory, manifest, tokenizer.vocab_size)
    else:
        splits = _open_index(remote.local_index(directory, manifest, index.ARRAYS), manifest)
    return Corpus(splits[TRAIN], splits[VALIDATION], tokenizer, manifest)


def read_manifest(directory: epath.Path) -> dict:
    """Reads the manifest of a complete corpus.

    Raises:
      CorpusError: the manifest is missing, damaged, or of another format version.
    """
    file = directory / "manifest.json"
    if not directory.exists():
        raise CorpusError(
            f"There is no corpus at {directory}: give its folder, or build one with experiments.prepare_corpus."
        )
    if not file.exists():
        if directory.is_dir() and any(_is_part(path.name) for path in directory.iterdir()):
            raise CorpusError(f"The corpus {directory} is incomplete: run the command that builds it again.")
        raise CorpusError(
            f"{directory} is not a corpus (no manifest.json): give a folder that experiments.prepare_corpus made."
        )
    manifest = storage.read_json(file)
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise CorpusError(f"{directory} has format {version}, but this version reads {FORMAT_VERSION}: build it again.")
    wrong = problem(manifest, FORM)
    if not wrong and (others := manifest["splits"].keys() - set(SPLITS)):
        wrong = f"splits has {quoted(min(others))}"
    if not wrong:
        # They become parts of paths, and the manifest may be somebody else's.
        names = [manifest["fingerprint"], *(shard["file"] for shard in _listed(manifest))]
        wrong = next((f"it names {quoted(name)}" for name in names if not re.fullmatch(r"[\w.-]*\w", name)), "")
    if wrong:
        raise CorpusError(f"{file} is damaged ({wrong}): restore it, or build the corpus again.")
    return manifest


def _is_part(name: str) -> bool:
    return name in ("build", "index", "tokenizer") or name.startswith(f"{shards.DATASET}-")


def _open_local(directory: epath.Path, manifest: dict, vocab_size: int) -> dict[str, Split]:
    """Opens the index of a local corpus; rebuilds it from the shards if it is missing or damaged."""
    if (directory / "index").exists():
        try:
            return _open_index(directory, manifest)
        except CorpusError as error:
            logging.warning("%s It is rebuilt from the shards.", error)
    rebuilt = _rebuild_index(directory, manifest, vocab_size)
    try:
        return _open_index(rebuilt, manifest)
    except CorpusError:  # the shards are intact
        raise CorpusError(
            f"{directory}/manifest.json is damaged, its hashes are not those of its index: restore it, or build the"
            " corpus again."
        ) from None


def _open_index(directory: epath.Path, manifest: dict) -> dict[str, Split]:
    return {split: _open_split(directory, split, manifest["splits"][split]["index"]) for split in SPLITS}


def _open_split(directory: epath.Path, split: str, hashes: dict[str, str]) -> Split:
    arrays, files = {}, []
    for name in index.ARRAYS:
        file = directory / "index" / split / f"{name}.npy"
        try:
            # What changes while it is hashed is seen by the first check, too.
            files.append(WatchedFile.of(str(file)))
            is_intact = hashing.sha256_once(str(file)) == hashes[name]
        except OSError:
            is_intact = False
        if not is_intact:
            raise CorpusError(f"{file} is damaged or missing.")
        arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False)
    counts = arrays.pop("token_counts")
    return Split(**arrays, vocab_size=len(counts), stored_counts=counts, files=tuple(files))


def _rebuild_index(directory: epath.Path, manifest: dict, vocab_size: int) -> epath.Path:
    """Derives the index from the shards, and returns the folder it is in: the corpus or, if read-only, the cache."""
    copy = remote.cached(manifest["fingerprint"])
    if not os.access(directory, os.W_OK) and (copy / "index").exists():
        with contextlib.suppress(CorpusError):
            _open_index(copy, manifest)
            return copy
    _verify_shards(directory, manifest)
    if (directory / "index").exists():
        with contextlib.suppress(CorpusError):  # another process may have rebuilt it meanwhile
            _open_index(directory, manifest)
            return directory
    failures = []
    for target in (directory, copy):
        try:
            index.rebuild(directory, manifest["splits"], vocab_size, target)
            return target
        except OSError as error:
            failures.append(f"{target}: {error.strerror or error}")
    raise CorpusError(
        f"{directory} has no intact index, and there is no place to write one ({'; '.join(failures)}): make room or"
        " give write access to one of the two, or choose another cache by XDG_CACHE_HOME."
    )


def _listed(manifest: dict) -> list[dict]:
    return [shard for split in SPLITS for shard in manifest["splits"][split]["shards"]]


def _shards(directory: epath.Path, manifest: dict) -> Iterator[tuple[epath.Path, dict]]:
    for shard in _listed(manifest):
        yield directory / shard["file"], shard


def _compare_sizes(directory: epath.Path, manifest: dict) -> None:
    for file, shard in _shards(directory, manifest):
        if not file.exists() or file.stat().length != shard["bytes"]:
            raise _damaged(file)


def _verify_shards(directory: epath.Path, manifest: dict) -> None:
    for file, shard in _shards(directory, manifest):
        if not file.exists() or hashing.sha256(file) != shard["sha256"]:
            raise _damaged(file)


def _damaged(file: epath.Path) -> CorpusError:
    return CorpusError(f"{file} is damaged or missing: restore it, or build the corpus again.")
