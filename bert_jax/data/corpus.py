"""A stored corpus as training reads it: flat, memory-mapped arrays with sentence and document boundaries.

corpus/
  manifest.json          what is in it, hashes, how it was made; written last: a folder without it is half built
  tokenizer/             the vocabulary its ids belong to
  corpus-SPLIT.array_record-*, features.json, dataset_info.json      the exchange form (shards.py)
  index/SPLIT/*.npy      derived from the shards, rebuilt when missing
"""

import dataclasses

import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.data import shards
from bert_jax.errors import CorpusError
from bert_jax.tokenization import WordPieceTokenizer, load_tokenizer

FORMAT_VERSION = 1
TRAIN, VALIDATION = SPLITS = ("train", "validation")
ARRAYS = ("token_ids", "sentence_starts", "document_starts", "document_sources", "token_counts")


@dataclasses.dataclass(frozen=True)
class Split:
    """Documents one after the other.

    Attributes:
      token_ids: uint16 or uint32 [tokens].
      sentence_starts: int64 [sentences + 1], first token of each sentence, then the number of tokens.
      document_starts: int64 [documents + 1], first sentence of each document, then the number of sentences.
      document_sources: int32 [documents], index of the source it came from.
      token_counts: int64 [vocab_size], how often each id occurs.
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
        return len(self.token_ids)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """An opened corpus: its two splits, its tokenizer and its manifest (see `prepare.py` for the fields)."""

    train: Split
    validation: Split
    tokenizer: WordPieceTokenizer
    manifest: dict

    @property
    def fingerprint(self) -> str:
        """Hash of the content: equal fingerprints give equal batches."""
        return self.manifest["fingerprint"]


def open_corpus(directory: epath.PathLike) -> Corpus:
    """Opens a corpus for training, rebuilding its index where that is missing, and verifies every hash it uses.

    Raises:
      CorpusError: missing, half built, of another format version, or damaged.
    """
    directory = epath.Path(directory)
    manifest_file = directory / "manifest.json"
    if not directory.exists():
        raise CorpusError(f"There is no corpus at {directory}: make one with experiments.prepare_corpus.")
    if not manifest_file.exists():
        raise CorpusError(f"{directory} has no manifest.json: its build did not finish; run the same command again.")
    manifest = storage.read_json(manifest_file)
    if manifest["format_version"] != FORMAT_VERSION:
        raise CorpusError(
            f"{directory} has format {manifest['format_version']} and this version reads {FORMAT_VERSION}:"
            f" prepare it anew."
        )
    tokenizer = load_tokenizer(directory / "tokenizer")
    if tokenizer.sha256 != manifest["tokenizer_sha256"]:
        raise CorpusError(f"{directory}/tokenizer is not the one its tokens were made with: restore it.")
    if not (directory / "index").exists():
        _verify_shards(directory, manifest)
        build_index(directory, manifest["splits"], tokenizer.vocab_size)
    splits = {name: _open_split(directory, name, manifest["splits"][name]["index"]) for name in SPLITS}
    return Corpus(**splits, tokenizer=tokenizer, manifest=manifest)


def _open_split(directory, split, hashes) -> Split:
    arrays = {}
    for name in ARRAYS:
        file = directory / "index" / split / f"{name}.npy"
        if not file.exists() or storage.sha256(file) != hashes[name]:
            raise CorpusError(f"{file} is damaged or missing: delete {directory}/index, it is rebuilt from the shards.")
        arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False)
    return Split(**arrays)


def _verify_shards(directory, manifest) -> None:
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            file = directory / shard["file"]
            if not file.exists() or storage.sha256(file) != shard["sha256"]:
                raise CorpusError(f"{file} is damaged or missing: restore it, or prepare the corpus anew.")


def build_index(directory: epath.PathLike, splits: dict[str, dict], vocab_size: int) -> dict[str, dict[str, str]]:
    """Derives `index/` from the shards, in flat memory; returns the SHA-256 of every array, by split and name."""
    directory = epath.Path(directory)
    partial = directory / "index.partial"
    if partial.exists():
        partial.rmtree()
    hashes = {}
    for name, split in splits.items():
        folder = partial / name
        folder.mkdir(parents=True)
        layout = {
            "token_ids": (split["tokens"], np.uint16 if vocab_size <= 1 << 16 else np.uint32),
            "sentence_starts": (split["sentences"] + 1, np.int64),
            "document_starts": (split["documents"] + 1, np.int64),
            "document_sources": (split["documents"], np.int32),
            "token_counts": (vocab_size, np.int64),
        }
        arrays = {
            key: np.lib.format.open_memmap(str(folder / f"{key}.npy"), mode="w+", dtype=dtype, shape=(length,))
            for key, (length, dtype) in layout.items()
        }
        _fill(arrays, (record for shard in split["shards"] for record in shards.read(directory / shard["file"])))
        for array in arrays.values():
            array.flush()
        hashes[name] = {key: storage.sha256(folder / f"{key}.npy") for key in ARRAYS}
    partial.rename(directory / "index")
    return hashes


def _fill(arrays, records) -> None:
    token = sentence = 0
    for document, record in enumerate(records):
        ids, lengths = record["token_ids"], record["sentence_lengths"]
        arrays["token_ids"][token : token + len(ids)] = ids
        arrays["sentence_starts"][sentence + 1 : sentence + 1 + len(lengths)] = token + np.cumsum(lengths)
        arrays["document_sources"][document] = record["source"]
        np.add.at(arrays["token_counts"], ids, 1)
        token += len(ids)
        sentence += len(lengths)
        arrays["document_starts"][document + 1] = sentence
