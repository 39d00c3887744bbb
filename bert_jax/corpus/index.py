"""The index of a corpus, which training reads: flat arrays, written as streams and opened as memory maps.

Writing takes the same memory for any size of corpus: each array is a `.npy` header followed by appended pieces, which
are hashed as they are written.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator

import numpy as np
from etils import epath

from bert_jax import hashing, storage
from bert_jax.corpus import shards

ARRAYS = ("token_ids", "sentence_starts", "document_starts", "document_sources", "token_counts")
# How many numbers are read or gathered at a time.
PIECE = 1 << 20


def token_dtype(vocab_size: int) -> np.dtype:
    """uint16 if it can hold every id, else uint32."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


class _ArrayFile:
    """One `.npy` file of shape [length], written a piece at a time."""

    def __init__(self, path: epath.Path, dtype: np.typing.DTypeLike, length: int):
        self._file, self._dtype, self._left, self._path = path.open("wb"), np.dtype(dtype), length, path
        self._digest = hashlib.sha256()
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(self, header)

    def write(self, content: bytes) -> None:
        self._digest.update(content)
        self._file.write(content)

    def append(self, values: np.ndarray) -> None:
        self._left -= len(values)
        self.write(np.ascontiguousarray(values, self._dtype).tobytes())

    def close(self) -> str:
        """Closes the file and returns its SHA-256."""
        self._file.close()
        if self._left:
            raise ValueError(f"{self._path} got {-self._left} more numbers than announced.")
        return self._digest.hexdigest()


class IndexWriter:
    """Writes the arrays of one split (see `store.Split`). Tokens, sentences and documents may come in any pieces."""

    def __init__(self, folder: epath.Path, totals: dict[str, int], vocab_size: int):
        """Creates the files; `totals` holds how many documents, sentences and tokens will follow."""
        folder.mkdir(parents=True)
        layout = {
            "token_ids": (token_dtype(vocab_size), totals["tokens"]),
            "sentence_starts": (np.int64, totals["sentences"] + 1),
            "document_starts": (np.int64, totals["documents"] + 1),
            "document_sources": (np.int32, totals["documents"]),
            "token_counts": (np.int64, vocab_size),
        }
        self._files = {name: _ArrayFile(folder / f"{name}.npy", *spec) for name, spec in layout.items()}
        self._counts = np.zeros(vocab_size, np.int64)
        self._ends = {"sentence_starts": 0, "document_starts": 0}
        for name in self._ends:
            self._files[name].append(np.zeros(1, np.int64))

    def add_tokens(self, ids: np.ndarray) -> None:
        """Appends token ids, int [n]."""
        self._files["token_ids"].append(ids)
        self._counts += np.bincount(ids, minlength=len(self._counts))

    def add_sentences(self, lengths: np.ndarray) -> None:
        """Appends sentences, given the number of tokens in each."""
        self._add_ends("sentence_starts", lengths)

    def add_documents(self, sentences: np.ndarray, sources: np.ndarray) -> None:
        """Appends documents, given the number of sentences in each and its source."""
        self._add_ends("document_starts", sentences)
        self._files["document_sources"].append(sources)

    def _add_ends(self, name, lengths) -> None:
        if len(lengths):
            ends = self._ends[name] + np.cumsum(lengths, dtype=np.int64)
            self._files[name].append(ends)
            self._ends[name] = int(ends[-1])

    def close(self) -> dict[str, str]:
        """Closes the files and returns the SHA-256 of each by name."""
        self._files["token_counts"].append(self._counts)
        return {name: file.close() for name, file in self._files.items()}


def rebuild(directory: epath.PathLike, splits: dict[str, dict], vocab_size: int, target: epath.PathLike) -> None:
    """Derives `index/` from the shards of a corpus, byte for byte as its build wrote it.

    Several processes may do so at once, and others may read: each array replaces one that differs, in one step.

    Args:
      directory: the folder of the corpus.
      splits: the `splits` of its manifest.
      vocab_size: of its tokenizer.
      target: the folder in which `index/` is made; made if it does not exist.

    Raises:
      OSError: it cannot be written.
    """
    directory, target = epath.Path(directory), epath.Path(target)
    partial = target / f"index.{secrets.token_hex(4)}.partial"
    try:
        for name, hashes in _write_all(directory, splits, vocab_size, partial).items():
            folder = target / "index" / name
            folder.mkdir(parents=True, exist_ok=True)
            for array, digest in hashes.items():
                file = folder / f"{array}.npy"
                # One that is intact stays: a run that reads it would be told that it has changed.
                if not file.exists() or hashing.sha256(file) != digest:
                    (partial / name / file.name).replace(file)
    finally:
        if partial.exists():
            partial.rmtree()


def _write_all(
    directory: epath.Path, splits: dict[str, dict], vocab_size: int, folder: epath.Path
) -> dict[str, dict[str, str]]:
    hashes = {}
    for name, split in splits.items():
        writer = IndexWriter(folder / name, split, vocab_size)
        for records in _batches(
            record for shard in split["shards"] for record in shards.read(directory / shard["file"])
        ):
            writer.add_tokens(np.concatenate([record["token_ids"] for record in records]))
            writer.add_sentences(np.concatenate([record["sentence_lengths"] for record in records]))
            writer.add_documents(
                np.array([len(record["sentence_lengths"]) for record in records]),
                np.array([record["source"] for record in records]),
            )
        hashes[name] = writer.close()
    return hashes


def _batches(records: Iterable[dict]) -> Iterator[list[dict]]:
    batch, size = [], 0
    for record in records:
        batch.append(record)
        size += len(record["token_ids"])
        if size >= PIECE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def fresh_folder(directory: epath.Path) -> epath.Path:
    """Makes an empty `index.partial`, to be renamed to `index` when it is complete."""
    partial = directory / "index.partial"
    if partial.exists():
        partial.rmtree()
    partial.mkdir(parents=True)
    return partial


class PartWriter:
    """Writes one unit's part of the index of a split: three raw files that `join` concatenates. A context manager."""

    def __init__(self, stem: epath.Path, vocab_size: int):
        """Creates the files; `stem` is their path without extension."""
        self._dtypes = _part_dtypes(vocab_size)
        self._files = {name: _part_file(stem, name).open("wb") for name in self._dtypes}

    def write(self, token_ids: np.ndarray, sentence_lengths: np.ndarray) -> None:
        """Appends a document: int [tokens] and int [sentences]."""
        for name, values in (
            ("tokens", token_ids),
            ("sentences", sentence_lengths),
            ("documents", np.array([len(sentence_lengths)])),
        ):
            self._files[name].write(values.astype(self._dtypes[name], copy=False).tobytes())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for file in self._files.values():
            file.close()


def _part_dtypes(vocab_size) -> dict[str, np.dtype]:
    return {"tokens": token_dtype(vocab_size), "sentences": np.dtype(np.int32), "documents": np.dtype(np.int32)}


def _part_file(stem, name) -> epath.Path:
    return stem.parent / f"{stem.name}.{name}"


def join(folder: epath.Path, parts: list[tuple[epath.Path, int]], totals: dict, vocab_size: int) -> dict[str, str]:
    """Writes the index of a split from what its units wrote.

    Args:
      folder: where the arrays are written.
      parts: the stem of each unit, as given to its `PartWriter`, and its source.
      totals: the numbers of documents, sentences and tokens.
      vocab_size: of the tokenizer.

    Returns:
      The SHA-256 of each array by name.
    """
    writer, dtypes = IndexWriter(folder, totals, vocab_size), _part_dtypes(vocab_size)
    for stem, source in parts:
        for ids in storage.read_pieces(_part_file(stem, "tokens"), dtypes["tokens"], PIECE):
            writer.add_tokens(ids)
        for lengths in storage.read_pieces(_part_file(stem, "sentences"), dtypes["sentences"], PIECE):
            writer.add_sentences(lengths)
        for sentences in storage.read_pieces(_part_file(stem, "documents"), dtypes["documents"], PIECE):
            writer.add_documents(sentences, np.full(len(sentences), source, np.int32))
    return writer.close()
