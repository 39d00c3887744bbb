"""Exact search: the documents whose embeddings have the highest cosine with that of a query.

Documents are embedded once. Their vectors are kept in a folder and read piece by piece, so that neither the documents
nor their vectors need fit into memory.
"""

import dataclasses
import hashlib
import itertools
import pathlib
import zlib
from collections.abc import Iterable, Iterator

import jax
import numpy as np
from etils import epath

from bert_jax import hashing, storage
from bert_jax.data.tables import read_table, related_columns
from bert_jax.errors import ConfigError, CorpusError, quoted
from bert_jax.files import patterns
from bert_jax.pretrained import TEXTS_AT_ONCE, Pretrained

VECTORS, ABOUT = "vectors.f32", "index.json"
QUERIES_AT_ONCE = 1024
DOCUMENTS_AT_ONCE = 1 << 16


@dataclasses.dataclass(frozen=True)
class Hit:
    """A document that a search has found.

    Attributes:
      document: its number, from 0.
      score: the cosine.
      text: its text.
    """

    document: int
    score: float
    text: str


@dataclasses.dataclass(frozen=True)
class Index:
    """The embeddings of documents, in order.

    Attributes:
      vectors: float32 [documents, width], of length 1; on disk, read where it is used.
      is_new: whether they were computed just now.
    """

    vectors: np.ndarray
    is_new: bool


def read_texts(path: epath.PathLike, column: str = "") -> Iterator[str]:
    """Yields the texts of a table, in order. An empty text stays one, so that numbers are those of the rows.

    Args:
      path: see `data.tables.read_table`.
      column: the column of the text; empty: guessed from the usual names.

    Raises:
      CorpusError: the file cannot be read, or a row has no text.
    """
    for record in read_table(path):
        column = column or related_columns(record).roles["text"]
        value = record.values.get(column)
        if not isinstance(value, str):
            raise CorpusError(f"{record.where} has no text in {quoted(column)}: name another column, or mend the row.")
        yield value


def default_folder(documents: epath.PathLike) -> pathlib.Path:
    """Returns where the index of a file is kept: beside it.

    Raises:
      ConfigError: it is no single local file.
    """
    text = str(documents)
    if patterns.split(text)[1] or not pathlib.Path(text).expanduser().is_file():
        raise ConfigError(f"{text} is no single local file, so nothing lies beside it: say where to keep the index.")
    return pathlib.Path(f"{text}.index").expanduser()


def open_index(
    model: Pretrained, documents: epath.PathLike, folder: epath.PathLike, column: str = "", width: int | None = None
) -> Index:
    """Opens the index of some documents; makes it if it is not there, or was made of other texts or by another model.

    Args:
      model: embeds the documents.
      documents: the table; see `read_texts`.
      folder: where the index is kept, on a local disk.
      column: the column of the text.
      width: see `Pretrained.embed`.

    Raises:
      CorpusError: a document cannot be read.
      WriteError: the index cannot be written.
    """
    folder = pathlib.Path(folder)
    made_by = {"model": _fingerprint(model, width), "width": width or model.config.hidden_size}
    known = storage.read_json(folder / ABOUT) if (folder / ABOUT).exists() else {}
    if made_by.items() <= known.items() and known["documents"] == _content(read_texts(documents, column)):
        return Index(_mapped(folder, known), False)
    with storage.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ABOUT).unlink(missing_ok=True)  # the vectors are another's from here on
        digest, texts = hashlib.sha256(), read_texts(documents, column)
        with storage.replacing(folder / VECTORS) as file:
            while some := list(itertools.islice(texts, TEXTS_AT_ONCE)):
                for text in some:
                    _add(digest, text)
                file.write(model.embed(some, normalize=True, width=width).astype("<f4").tobytes())
        about = made_by | {"documents": digest.hexdigest()}
        storage.write_json(folder / ABOUT, about)
    return Index(_mapped(folder, about), True)


def _mapped(folder: pathlib.Path, about: dict) -> np.ndarray:
    return np.memmap(folder / VECTORS, "<f4", "r").reshape(-1, about["width"])


def _content(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        _add(digest, text)
    return digest.hexdigest()


def _add(digest, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    digest.update(len(data).to_bytes(8, "little") + data)


def _fingerprint(model: Pretrained, width: int | None) -> str:
    """A hash of all that decides an embedding."""
    leaves = jax.tree_util.tree_leaves_with_path(model.params["bert"])
    sums = {jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(leaf).data) for path, leaf in leaves}
    config = dataclasses.asdict(model.config)
    return hashing.fingerprint([sums, config, model.tokenizer.sha256, model.pooling, model.max_tokens, width])


def search(
    model: Pretrained,
    index: Index,
    documents: epath.PathLike,
    queries: Iterable[str],
    top: int = 5,
    column: str = "",
    width: int | None = None,
) -> Iterator[tuple[str, list[Hit]]]:
    """Yields each query with the documents whose cosine with it is highest; of equal ones the first.

    Args:
      model: the model of the index.
      index: the documents' vectors.
      documents: the documents themselves, from which the texts of the hits are read.
      queries: any number of them; they are taken in batches.
      top: how many documents for each.
      column: as in `open_index`.
      width: as in `open_index`.
    """
    rest = iter(queries)
    while some := list(itertools.islice(rest, QUERIES_AT_ONCE)):
        numbers, scores = best(model.embed(some, normalize=True, width=width), index.vectors, top)
        wanted = set(numbers.ravel().tolist())
        texts = {i: text for i, text in enumerate(read_texts(documents, column)) if i in wanted}
        for query, found, values in zip(some, numbers.tolist(), scores.tolist(), strict=True):
            yield query, [Hit(i, score, texts[i]) for i, score in zip(found, values, strict=True)]


def best(queries: np.ndarray, documents: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the highest inner products, block by block.

    Args:
      queries: float32 [Q, width].
      documents: float32 [D, width].
      top: K; fewer if there are fewer documents.

    Returns:
      The documents, int64 [Q, K], and their products, float32 [Q, K], in descending order; of equal ones the first
      documents.
    """
    numbers = np.zeros((len(queries), 0), np.int64)
    scores = np.zeros((len(queries), 0), np.float32)
    for begin in range(0, len(documents), DOCUMENTS_AT_ONCE):
        products = queries @ np.asarray(documents[begin : begin + DOCUMENTS_AT_ONCE]).T
        count = min(top, products.shape[1])
        # The least of the best; more than `count` documents may have it.
        least = np.partition(products, -count, axis=1)[:, -count, None]
        chosen = [
            np.flatnonzero(row)[np.argsort(-values[row], kind="stable")[:count]]
            for row, values in zip(products >= least, products, strict=True)
        ]
        index = np.stack(chosen)
        numbers = np.concatenate([numbers, index + begin], axis=1)
        scores = np.concatenate([scores, np.take_along_axis(products, index, axis=1)], axis=1)
        # Earlier documents stand first, so a stable order prefers them.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        numbers, scores = (np.take_along_axis(one, order, axis=1) for one in (numbers, scores))
    return numbers, scores
