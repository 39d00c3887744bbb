"""What a build does to text: how much there is, what is replaced, cut, dropped or unknown, with the first examples."""

import collections
from collections.abc import Sequence
from typing import Any

from bert_jax.corpus.builder import text
from bert_jax.corpus.builder.reading import Document
from bert_jax.corpus.summary import LENGTHS
from bert_jax.errors import CorpusError
from bert_jax.tokenization import Tokenizer

EXAMPLES = 2  # of each kind
EXCERPT = 40  # characters
# What is counted before its document is known, and what loses nothing.
WITHOUT_EXAMPLE = ("empty_documents", "oversized_records", "carriage_returns", "repeated_characters")


class LossyTextError(CorpusError):
    """Too much text would be lost. The sources are as the user wants them, perhaps, so finished work is kept."""


class Losses:
    """Counts over the documents of one unit or source.

    Attributes:
      sizes: the numbers of characters and of sentences of more than `LENGTHS` tokens.
      counts: how often the text policy and the deduplication changed something, by kind.
      examples: by kind, the first documents, and an excerpt of each.
    """

    def __init__(self):
        self.sizes: collections.Counter[str] = collections.Counter()
        self.counts: collections.Counter[str] = collections.Counter()
        self.examples: dict[str, list[dict[str, str]]] = {}
        self._seen, self._total = {}, 0

    def add_document(self, document: Document) -> None:
        """Counts a document that was read and split into sentences: an example of what was counted since the last."""
        self.sizes["characters"] += len(document.text)
        if (total := self.counts.total()) != self._total:
            for kind, count in self.counts.items():
                if count > self._seen.get(kind, 0) and kind not in WITHOUT_EXAMPLE:
                    place = document.text.find(text.REPLACEMENT) if kind == "replaced_characters" else 0
                    self.add_example(kind, document, document.text, max(place, 0))
            self._seen, self._total = dict(self.counts), total

    def add_tokens(
        self, document: Document, sentences: Sequence[str], ids: Sequence[list[int]], unknown: int, tokenizer: Tokenizer
    ) -> None:
        """Counts the sentences of a document by their length in tokens, of which `unknown` are unknown."""
        if max(map(len, ids)) > LENGTHS[0]:
            for length in LENGTHS:
                self.sizes[f"over_{length}_tokens"] += sum(len(one) > length for one in ids)
            longest = max(range(len(ids)), key=lambda i: len(ids[i]))
            if len(ids[longest]) > LENGTHS[-1]:
                self.add_example("long_sentences", document, sentences[longest])
        if unknown and len(self.examples.get("unknown_tokens", ())) < EXAMPLES:
            sentence = next(s for s, one in zip(sentences, ids, strict=True) if tokenizer.unk_id in one)
            self.add_example("unknown_tokens", document, unknown_part(sentence, tokenizer))

    def add_example(self, kind: str, document: Document, content: str, place: int = 0) -> None:
        """Keeps an excerpt of `content` around the character at `place`, unless there are enough of this kind."""
        kept = self.examples.setdefault(kind, [])
        if len(kept) < EXAMPLES:
            kept.append({"document": excerpt(document.id), "text": excerpt(content[max(0, place - EXCERPT // 2) :])})

    def add(self, stored: dict[str, Any]) -> None:
        """Adds what another unit stored."""
        self.sizes.update(stored["sizes"])
        self.counts.update(stored["counts"])
        for kind, examples in stored["examples"].items():
            kept = self.examples.setdefault(kind, [])
            kept += examples[: EXAMPLES - len(kept)]

    def as_json(self) -> dict[str, Any]:
        """The attributes as they are stored. Kinds that did not occur are left out."""
        return {
            "sizes": dict(sorted(self.sizes.items())),
            "counts": dict(sorted((+self.counts).items())),
            "examples": dict(sorted(self.examples.items())),
        }


def unknown_part(sentence: str, tokenizer: Tokenizer) -> str:
    """The first unknown word or, in one that is long for want of spaces, the first unknown character."""
    words = (word for word in sentence.split() if tokenizer.unk_id in tokenizer.encode(word))
    word = next(words, sentence)
    characters = (c for c in word if tokenizer.unk_id in tokenizer.encode(c))
    return word if len(word) <= EXCERPT // 2 else next(characters, word)


def excerpt(content: str) -> str:
    """The beginning of `content`, on one line and without characters that a terminal would obey."""
    shown = "".join(c if c.isprintable() else " " for c in content[:EXCERPT])
    return " ".join(shown.split()) + "…" * (len(content) > EXCERPT)
