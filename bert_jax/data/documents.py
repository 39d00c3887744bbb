"""Documents with summaries, and their sentences in windows of a model's length."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath

from bert_jax.corpus.sentences import sentences_of
from bert_jax.data import draws
from bert_jax.data.draws import Purpose
from bert_jax.data.examples import Segments
from bert_jax.data.labelled import LabelledTexts
from bert_jax.data.labelled_files import WindowedConfig
from bert_jax.data.tables import Columns, Record, document_columns, read_table, with_roles
from bert_jax.data.texts import EncodedTexts
from bert_jax.data.windows import cover
from bert_jax.errors import CorpusError, quoted
from bert_jax.objectives.extracts import Document
from bert_jax.tokenization import Tokenizer


@dataclasses.dataclass
class DocumentsConfig(WindowedConfig):
    """Documents with summaries, and how many sentences to choose."""

    document_column: str = ""  # column of the text, or of the list of sentences; empty: guessed, and told
    summary_column: str = ""  # column of the summary, or of a list of several ones; empty: guessed
    # column of a list of 0 and 1, a number for each sentence: whether it belongs into the summary; empty: guessed;
    # without one, the sentences that come nearest to the summary are labelled
    sentence_label_column: str = ""
    language: str = "en"  # two-letter code, whose rules split a text into sentences
    num_sentences: int = 3  # sentences of a summary; at most so many are labelled
    block_trigrams: bool = False  # pass over a sentence that shares three words in a row with a chosen one

    def problems(self) -> list[str]:
        found = super().problems()
        if self.num_sentences < 1:
            found.append(f"data.num_sentences={self.num_sentences} must be at least 1.")
        return found

    def columns(self, first: Record, labelled: bool = True) -> Columns:
        """Returns which columns of a table hold what."""
        summary, labels = (self.summary_column, self.sentence_label_column) if labelled else ("", "")
        return document_columns(first, self.document_column, summary, labels, labelled)


def read_documents(
    path: epath.PathLike, config: DocumentsConfig, lines: list[str], labelled: bool = True
) -> Iterator[Document]:
    """Yields the documents of a table, in order.

    Args:
      path: see `tables.read_table`.
      config: names the columns.
      lines: which columns are read is appended to it.
      labelled: whether each document must have a summary.

    Raises:
      CorpusError: the file cannot be read, or a document or a summary is empty or no text.
    """
    for record, roles in with_roles(read_table(path), lambda first: config.columns(first, labelled), lines):
        sentences = _texts(record, roles["document"], "sentences")
        if isinstance(record.values[roles["document"]], str):
            sentences = tuple(sentences_of(sentences[0], config.language))
        if not any(map(str.strip, sentences)):
            raise CorpusError(
                f"{record.where}: {quoted(roles['document'])} has no sentence: give one, or remove the row."
            )
        references = _texts(record, roles["summary"], "summaries") if "summary" in roles else ()
        labels = _labels(record, roles["sentence_label"], len(sentences)) if "sentence_label" in roles else None
        yield Document(sentences, references, labels, record.where)


def _texts(record: Record, column: str, what: str) -> tuple[str, ...]:
    value = record.values.get(column)
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise CorpusError(f"{record.where}: {quoted(column)} is neither a text nor a list of {what}: mend the row.")
    if not any(map(str.strip, texts)):
        raise CorpusError(f"{record.where}: {quoted(column)} is empty: give a text, or remove the row.")
    return tuple(texts)


def _labels(record: Record, column: str, count: int) -> tuple[int, ...]:
    value = record.values.get(column)
    if not isinstance(value, list) or len(value) != count or not all(label in (0, 1) for label in value):
        raise CorpusError(
            f"{record.where}: {quoted(column)} is no list of 0 or 1 for each of the {count} sentences: mend the row."
        )
    return tuple(map(int, value))


@dataclasses.dataclass(frozen=True)
class Windows:
    """The sentences of documents in windows `[CLS] sentence [SEP] [CLS] sentence [SEP] …`.

    Attributes:
      texts: a window is an example.
      token_type_ids: int32 [tokens], alternates from sentence to sentence.
      places: int32 [tokens], the number of the sentence among all sentences, at the `[CLS]` where it counts, else -1.
      document: int64 [windows], the document of each.
      num_cut: the number of sentences that are longer than a window and lose their ends.
    """

    texts: EncodedTexts
    token_type_ids: np.ndarray
    places: np.ndarray
    document: np.ndarray
    num_cut: int

    def labelled(self, labels: np.ndarray) -> LabelledTexts:
        """Returns the examples for `objectives.summary_sentences`, given a label for each sentence, [sentences]."""
        counted = self.places >= 0
        columns = {
            "token_type_ids": self.token_type_ids,
            "summary_labels": np.where(counted, labels[self.places], 0).astype(np.float32),
            "summary_weights": counted.astype(np.float32),
            "summary_places": np.maximum(self.places, 0),
        }
        return LabelledTexts(self.texts, {}, columns, is_framed=True)

    def at_first(self, values: Sequence[Any]) -> np.ndarray:
        """Returns the value of each document at its first window, None at others: objects [windows]."""
        found = np.full(len(self.document), None, object)
        found[np.searchsorted(self.document, np.arange(len(values)))] = list(values)
        return found


def make_windows(documents: Sequence[Sequence[str]], tokenizer: Tokenizer, longest: int, overlap: int) -> Windows:
    """Lays the sentences of documents into windows. Each sentence counts in one of them, the one that shows most of
    what surrounds it.

    Args:
      documents: the sentences of each.
      tokenizer: makes the tokens.
      longest: the most tokens in a window, with special tokens.
      overlap: how many tokens a window shares with the one before it, at most.
    """
    encoded = iter(tokenizer.encode_batch(sentence for sentences in documents for sentence in sentences))
    ids: list[int] = []
    types: list[int] = []
    places: list[int] = []
    starts, ends, owners = [], [], []
    first = num_cut = 0
    for number, sentences in enumerate(documents):
        tokens = [next(encoded) for _ in sentences]
        num_cut += sum(len(one) > longest - 2 for one in tokens)
        framed = [[tokenizer.cls_id, *one[: longest - 2], tokenizer.sep_id] for one in tokens]
        for begin, end, counted in window_bounds([len(one) for one in framed], longest, overlap):
            starts.append(len(ids))
            for i in range(begin, end):
                ids += framed[i]
                types += [(i - begin) & 1] * len(framed[i])
                places += [first + i if i in counted else -1] + [-1] * (len(framed[i]) - 1)
            ends.append(len(ids))
            owners.append(number)
        first += len(sentences)
    begin, length = np.array(starts, np.int64), np.array(ends, np.int64) - np.array(starts, np.int64)
    nothing = np.zeros_like(begin)
    key = draws.bits64(Purpose.LABELLED, np.arange(len(begin))).astype(np.uint32)
    # The first [CLS] and the last [SEP] of an example are implied by its segment.
    texts = EncodedTexts(np.array(ids, np.int32), Segments(begin + 1, length - 2, nothing, nothing, key), num_cut)
    return Windows(texts, np.array(types, np.int32), np.array(places, np.int32), np.array(owners, np.int64), num_cut)


def window_bounds(lengths: Sequence[int], longest: int, overlap: int) -> list[tuple[int, int, range]]:
    """Divides a document into windows of whole sentences.

    Args:
      lengths: the tokens in each sentence, at most `longest`.
      longest: the most tokens in a window.
      overlap: see `windows.cover`.

    Returns:
      The first sentence of each window, one past its last, and the sentences that count in it: each in one window.
    """
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    bounds = cover(np.array(lengths), longest, overlap)
    counted = [0]
    for (_, before), (after, _) in itertools.pairwise(bounds):
        # Both windows have the sentences after..before. Each goes where the nearer end of the window is farther away;
        # unlike in `windows.keepers`, the ends of a document do not count, where there is nothing to see beyond.
        left, right = (offsets[after:before] - offsets[after]), offsets[before] - offsets[after + 1 : before + 1]
        counted.append(after + int((right >= left).sum()))
    counted += [len(lengths)] * bool(bounds)
    parts = (range(begin, end) for begin, end in itertools.pairwise(counted))
    return [(first, end, part) for (first, end), part in zip(bounds, parts, strict=True) if part]
