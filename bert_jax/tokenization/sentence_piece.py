"""SentencePiece models (Kudo & Richardson 2018): unigram or BPE pieces of raw text, as in ALBERT and XLM-R."""

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import sentencepiece
from absl import logging
from google.protobuf.message import DecodeError

# Protobuf makes it at import.
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # pyrefly: ignore[missing-module-attribute]

from bert_jax.errors import TokenizerError, quoted
from bert_jax.tokenization.byte_level import begins_word, byte_of
from bert_jax.tokenization.offsets import tidy
from bert_jax.tokenization.tokenizer import (
    RESERVED,
    SPECIAL_TOKENS,
    SPELLINGS,
    UNK,
    Tokenizer,
    stands_alone,
    without_surrogates,
)

MODEL_FILE = "tokenizer.model"
SPACE = "▁"
Type = ModelProto.SentencePiece.Type


class SentencePieceTokenizer(Tokenizer):
    """Splits raw text into pieces. The space before a word is a part of its first piece.

    A special token that the model lacks is appended after its own pieces, with a warning, so the vocabulary grows.
    Special tokens that text could spell become control symbols, which it cannot.
    """

    def __init__(self, model_proto: bytes):
        """Opens a serialised `ModelProto`.

        Raises:
          TokenizerError: it is not a SentencePiece model.
        """
        model = ModelProto()
        try:
            model.ParseFromString(model_proto)
        except DecodeError:
            raise TokenizerError("This is not a SentencePiece model, or it is damaged: fetch it again.") from None
        five = _close_special_pieces(model)
        pieces = model.pieces
        extra = [
            i for i, piece in enumerate(pieces) if piece.type == Type.CONTROL and not RESERVED.fullmatch(piece.piece)
        ]
        super().__init__((piece.piece for piece in pieces), five, extra)
        self._types = [piece.type for piece in pieces]
        self._proto = model.SerializeToString(deterministic=True)
        self._processor = _open(self._proto)

    def encode(self, text: str) -> list[int]:
        return _encode(self._processor, text)

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        return _encode(self._processor, list(texts))

    def encode_with_offsets(self, text: str) -> tuple[list[int], np.ndarray]:
        text = without_surrogates(text)
        ids, pieces = self.encode(text), self._processor.encode(text, out_type=str, num_threads=1)
        normal, origins = self._processor.normalize(text, with_offsets=True)
        # The pieces are the normal text, byte by byte: a byte piece is one of the bytes of a character.
        letters = np.repeat(np.arange(len(normal)), [len(letter.encode()) for letter in normal])
        ranges, end = [], 0
        for id_, piece in zip(ids, pieces, strict=True):
            begin, end = end, end + (1 if self._types[id_] == Type.BYTE else len(piece.encode()))
            ranges.append(_origin(normal, origins, int(letters[begin]), int(letters[end - 1]) + 1))
        return ids, tidy(text, ranges)

    def decode(self, ids: Sequence[int]) -> str:
        return self._decode_around_specials(ids, self._processor.decode)

    def files(self) -> dict[str, bytes]:
        """Returns `tokenizer.model`."""
        return {MODEL_FILE: self._proto}

    def _encode_after_mask(self, text: str) -> list[int]:
        return self.encode(text) if text[:1].isspace() else self.encode_continuation(text)

    def encode_continuation(self, text: str) -> list[int]:
        return _encode(self._unspaced_processor, text)

    def spell_words(self, text: str) -> list[str]:
        return re.findall(f"{SPACE}?[^{SPACE}]+", self._processor.normalize(without_surrogates(text)))

    @functools.cached_property
    def _unspaced_processor(self) -> sentencepiece.SentencePieceProcessor:
        # The model puts a space before every text.
        model = ModelProto.FromString(self._proto)
        model.normalizer_spec.add_dummy_prefix = False
        return _open(model.SerializeToString())

    def _is_ordinary(self, index: int, piece: str) -> bool:
        return self._types[index] in (Type.NORMAL, Type.USER_DEFINED) and super()._is_ordinary(index, piece)

    def _starts_word(self, index: int, piece: str) -> bool:
        if self._types[index] == Type.BYTE:
            return begins_word(byte_of(piece))
        return piece.startswith(SPACE) or stands_alone(piece)


def _origin(normal: str, origins: list[int], begin: int, end: int) -> tuple[int, int]:
    """The characters that some letters of the normal text come from, without the marks of spaces around them.

    Args:
      normal: the text.
      origins: for each letter, and the end, where its source begins.
      begin, end: the letters.
    """
    while begin < end and normal[begin] == SPACE:
        begin += 1
    while begin < end and normal[end - 1] == SPACE:
        end -= 1
    first = last = origins[begin]
    if begin < end:
        # A source such as a ligature may have made later letters, too: it ends where the next one begins.
        last = next((one for one in origins[end:] if one > origins[end - 1]), origins[-1])
    return first, last


def _close_special_pieces(model: ModelProto) -> list[int]:
    """The ids of the five special tokens. Changes `model` so that it has all of them, and no text spells them."""
    ids = {piece.piece: i for i, piece in enumerate(model.pieces)}
    unknown = [i for i, piece in enumerate(model.pieces) if piece.type == Type.UNKNOWN]
    if len(unknown) != 1:
        raise TokenizerError(
            f"The SentencePiece model is damaged ({len(unknown)} unknown pieces instead of one): fetch it again."
        )
    five = []
    for token in SPECIAL_TOKENS:
        found = unknown[0] if token == UNK else next((ids[name] for name in SPELLINGS[token] if name in ids), None)
        if found is None:
            found = len(model.pieces)
            model.pieces.add(piece=token, score=0.0, type=Type.CONTROL)
            logging.warning("The SentencePiece model has no %s, so it is appended as id %d.", token, found)
        elif token != UNK:
            model.pieces[found].type = Type.CONTROL
        five.append(found)
    return five


def _open(proto: bytes) -> sentencepiece.SentencePieceProcessor:
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=proto)
    except RuntimeError as error:
        raise TokenizerError(f"The SentencePiece model is damaged ({quoted(error)}): fetch it again.") from None


def _encode(processor: sentencepiece.SentencePieceProcessor, text: str | list[str]) -> Any:
    """The ids of one text, or of each of several."""
    try:
        return processor.encode(text, num_threads=1)
    except (RuntimeError, TypeError):  # a lone surrogate; these are too rare to check every text
        clean = without_surrogates(text) if isinstance(text, str) else [without_surrogates(one) for one in text]
        return processor.encode(clean, num_threads=1)
