"""Another vocabulary for a trained model: where each row of its word table starts."""

import dataclasses
from typing import Any

import flax.traverse_util
import jax
import numpy as np

from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.pretrained import Pretrained
from bert_jax.tokenization import Tokenizer
from bert_jax.tokenization.sentence_piece import SPACE
from bert_jax.tokenization.tokenizer import stands_alone
from bert_jax.tokenization.wordpiece import PREFIX, WordPieceTokenizer


@dataclasses.dataclass(frozen=True)
class Refitting:
    """A new vocabulary, and the rows of the old word table from which each of its rows starts.

    A piece that both vocabularies have keeps its row. Any other starts from the mean of the rows of the old pieces of
    its text, and one whose text the old vocabulary cannot spell from the mean of all ordinary rows (Hewitt 2021,
    "Initializing New Word Embeddings for Pretrained Language Models").

    Attributes:
      old: the tokenizer of the model.
      new: the tokenizer that it is to have.
      origins: for each id of `new`, ids of `old`: one if the row is kept, none if the text cannot be spelt.
      kept: bool [V of `new`], whether both vocabularies have the piece.
    """

    old: Tokenizer
    new: Tokenizer
    origins: tuple[tuple[int, ...], ...]
    kept: np.ndarray

    @classmethod
    def between(cls, old: Tokenizer, new: Tokenizer) -> "Refitting":
        """Finds the origin of each row."""
        shared = _shared(old, new)
        origins = tuple((shared[i],) if i in shared else _spelt(old, new, i) for i in range(new.vocab_size))
        return cls(old, new, origins, np.array([i in shared for i in range(new.vocab_size)]))

    def describe(self) -> str:
        """Describes the rows, in a line."""
        unspelt = sum(not origin for origin in self.origins)
        parts = [
            f"{self.kept.sum():,} rows as they were",
            f"{len(self.origins) - self.kept.sum() - unspelt:,} from the mean of their old pieces",
        ]
        if unspelt:
            parts.append(f"{unspelt:,} that the old vocabulary cannot spell from the mean of all words")
        return f"{self.new.vocab_size:,} words: {', '.join(parts)}"

    def rows(self, table: np.ndarray) -> np.ndarray:
        """Returns the new table [V of `new`, …], given the old one; rows that are kept are equal bit for bit."""
        overall = table[self.old.ordinary_ids].mean(0, dtype=np.float64).astype(table.dtype)
        result = np.empty((len(self.origins), *table.shape[1:]), table.dtype)
        for i, origin in enumerate(self.origins):
            if len(origin) == 1:
                result[i] = table[origin[0]]
            else:
                result[i] = table[list(origin)].mean(0, dtype=np.float64) if origin else overall
        return result

    def apply(self, model: Pretrained) -> Pretrained:
        """Returns the model with the new vocabulary: word tables, output bias, tokenizer and config.

        Rows of the table beyond the old vocabulary, which mean nothing, are left out.
        """
        flat: dict[str, Any] = dict(flax.traverse_util.flatten_dict(model.params, sep="/"))
        heads = [one.name for one in model.objectives if isinstance(one, MaskedWords)]
        by_word = ["bert/embeddings/word", *(f"{head}/{part}" for head in heads for part in ("bias", "output"))]
        for name in by_word:
            if name in flat:  # a head may have no bias, or no table of its own
                flat[name] = jax.device_put(self.rows(np.asarray(flat[name])))
        return dataclasses.replace(
            model,
            config=dataclasses.replace(model.config, vocab_size=self.new.vocab_size),
            params=flax.traverse_util.unflatten_dict(flat, sep="/"),
            tokenizer=self.new,
        )


def _shared(old: Tokenizer, new: Tokenizer) -> dict[int, int]:
    """The old id of each new one whose piece both have, and of the five special tokens whatever their spelling.

    Tokenizers of different kinds mark words differently, so that equal strings are different pieces.
    """
    found = {}
    if type(old) is type(new) and old.spells_bytes == new.spells_bytes:
        ids = {piece: i for i, piece in enumerate(old.vocabulary) if piece}
        for i, piece in enumerate(new.vocabulary):
            if (piece,) == old.vocabulary[i : i + 1]:
                found[i] = i
            elif piece in ids:
                found[i] = ids[piece]
    five = ("pad_id", "unk_id", "cls_id", "sep_id", "mask_id")
    return found | {getattr(new, name): getattr(old, name) for name in five}


def _spelt(old: Tokenizer, new: Tokenizer, i: int) -> tuple[int, ...]:
    """The old pieces of the text of a new piece, without unknown ones."""
    piece = new.vocabulary[i]
    if not piece:
        return ()
    text = new.decode([i])
    if new.spells_bytes and "\ufffd" in text:  # a part of a character
        return ()
    if isinstance(new, WordPieceTokenizer):
        text = piece.removeprefix(PREFIX)
    ways = [old.encode(f" {text}"), old.encode_continuation(text)]
    if not new.word_starts[i] or (stands_alone(piece) and not piece.startswith(SPACE)):
        ways.reverse()
    found = next((way for way in ways if way and old.unk_id not in way), ways[0])
    return tuple(one for one in found if one != old.unk_id)
