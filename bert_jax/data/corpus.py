"""A stored corpus as training reads it: flat, memory-mapped arrays with sentence and document boundaries.

corpus/
  manifest.json          what is in it, hashes, how it was made; written last: a folder without it is half built
  tokenizer/             the vocabulary its ids belong to
  corpus-SPLIT.array_record-*, features.json, dataset_info.json      the exchange form (shards.py)
  index/SPLIT/*.npy      derived from the shards, rebuilt when missing (but not in a bucket)
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.data import index, remote, shards
from bert_jax.errors import CorpusError, TokenizerError
from bert_jax.tokenization import Tokenizer, load_tokenizer

FORMAT_VERSION = 2
TRAIN, VALIDATION = SPLITS = ("train", "validation")
# Tokens counted at a time.
PIECE = 1 << 24


@dataclasses.dataclass(frozen=True)
class Split:
    """Documents one after the other.

    Attributes:
      token_ids: uint16 or uint32 [tokens].
      sentence_starts: int64 [sentences + 1], first token of each sentence, then the number of tokens.
      document_starts: int64 [documents + 1], first sentence of each document, then the end of the last one.
      document_sources: int32 [documents], index of the source it came from; never falling.
      token_counts: int64 [vocab_size], how often each id occurs in these documents.
    """

    token_ids: np.ndarray
    sentence_starts: np.ndarray
    document_starts: np.ndarray
    document_sources: np.ndarray
    token_counts: np.ndarray

    @property
    def num_documents(self) -> int:
        return len(self.document_starts) - 1

    @property
    def num_tokens(self) -> int:
        return int(self.sentence_starts[self.document_starts[-1]] - self.sentence_starts[self.document_starts[0]])

    def of_source(self, source: int) -> "Split":
        """The documents of one source, as a view: tokens and sentences keep their numbers.

        `token_counts` are its own; they are counted, which reads its tokens, when they are first asked for.
        """
        return _SourceView(self, source)


class _SourceView(Split):
    """A split of one source of another one."""

    def __init__(self, whole: Split, source: int):
        first, last = np.searchsorted(whole.document_sources, [source, source + 1])
        # Past the frozen setter; `token_counts` stays out, so that the property below gives it.
        self.__dict__.update(
            token_ids=whole.token_ids,
            sentence_starts=whole.sentence_starts,
            document_starts=whole.document_starts[first : last + 1],
            document_sources=whole.document_sources[first:last],
            _vocab_size=len(whole.token_counts),
        )

    @functools.cached_property
    def token_counts(self) -> np.ndarray:
        begin, end = (int(self.sentence_starts[self.document_starts[i]]) for i in (0, -1))
        counts = np.zeros(self._vocab_size, np.int64)
        for piece in range(begin, end, PIECE):
            counts += np.bincount(self.token_ids[piece : min(piece + PIECE, end)], minlength=len(counts))
        return counts


@dataclasses.dataclass(frozen=True)
class Corpus:
    """An opened corpus: its two splits, its tokenizer and its manifest (see `prepare.py` for the fields)."""

    train: Split
    validation: Split
    tokenizer: Tokenizer
    manifest: dict

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources; a document's source is an index into them."""
        return tuple(source["name"] for source in self.manifest["sources"])

    @property
    def fingerprint(self) -> str:
        """Hash of the content: equal fingerprints give equal batches."""
        return self.manifest["fingerprint"]


def open_corpus(directory: epath.PathLike) -> Corpus:
    """Opens a corpus for training, rebuilding its index where that is missing.

    What is read is verified: the hashes of the vocabulary and of the index and, where that is rebuilt, of the shards.
    Otherwise shards, which training does not read, are compared by size alone.

    Raises:
      CorpusError: missing, half built, of another format version, or damaged.
    """
    directory = epath.Path(directory)
    manifest = read_manifest(directory)
    try:
        tokenizer = load_tokenizer(directory / "tokenizer")
    except TokenizerError as error:
        raise CorpusError(f"{directory}/tokenizer cannot be read: {error}") from None
    if tokenizer.sha256 != manifest["tokenizer_sha256"]:
        raise CorpusError(f"{directory}/tokenizer is not the one its tokens were made with: restore it.")
    if not remote.is_remote(directory):
        _compare_sizes(directory, manifest)
        if not (directory / "index").exists():
            _verify_shards(directory, manifest)
            index.rebuild(directory, manifest["splits"], tokenizer.vocab_size)
    else:
        directory = remote.local_index(directory, manifest, index.ARRAYS)
    splits = {name: _open_split(directory, name, manifest["splits"][name]["index"]) for name in SPLITS}
    return Corpus(**splits, tokenizer=tokenizer, manifest=manifest)


def read_manifest(directory: epath.Path) -> dict:
    """The manifest of a corpus that is complete.

    Raises:
      CorpusError: there is none, or one that is damaged or of another format version.
    """
    file = directory / "manifest.json"
    if not directory.exists():
        raise CorpusError(f"There is no corpus at {directory}: make one with experiments.prepare_corpus.")
    if not file.exists():
        if directory.is_dir() and any(_is_part(path.name) for path in directory.iterdir()):
            raise CorpusError(f"The corpus {directory} did not finish: give the command that makes it once more.")
        raise CorpusError(
            f"{directory} is no corpus, it has no manifest.json: give a folder that experiments.prepare_corpus made."
        )
    manifest = storage.read_json(file)
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise CorpusError(f"{directory} has format {version} and this version reads {FORMAT_VERSION}: prepare it anew.")
    if not {"fingerprint", "options", "sources", "tokenizer_sha256", "splits"} <= manifest.keys():
        raise CorpusError(f"{file} is damaged, parts of it are missing: restore it, or prepare the corpus anew.")
    return manifest


def _is_part(name: str) -> bool:
    return name in ("build", "index", "tokenizer") or name.startswith(f"{shards.DATASET}-")


def _open_split(directory, split, hashes) -> Split:
    arrays = {}
    for name in index.ARRAYS:
        file = directory / "index" / split / f"{name}.npy"
        if not file.exists() or storage.sha256_once(str(file)) != hashes[name]:
            raise CorpusError(f"{file} is damaged or missing: delete {directory}/index, it is rebuilt from the shards.")
        arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False)
    return Split(**arrays)


def _shards(directory: epath.Path, manifest: dict) -> Iterator[tuple[epath.Path, dict]]:
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            yield directory / shard["file"], shard


def _compare_sizes(directory: epath.Path, manifest: dict) -> None:
    for file, shard in _shards(directory, manifest):
        if not file.exists() or file.stat().length != shard["bytes"]:
            raise _damaged(file)


def _verify_shards(directory: epath.Path, manifest: dict) -> None:
    for file, shard in _shards(directory, manifest):
        if not file.exists() or storage.sha256(file) != shard["sha256"]:
            raise _damaged(file)


def _damaged(file: epath.Path) -> CorpusError:
    return CorpusError(f"{file} is damaged or missing: restore it, or prepare the corpus anew.")
