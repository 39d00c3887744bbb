"""Adds whole words to a tokenizer: they get the next free ids, and all old ids stay what they are."""

import json
from collections.abc import Sequence

# Protobuf makes it at import.
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # pyrefly: ignore[missing-module-attribute]

from bert_jax.errors import TokenizerError, quoted
from bert_jax.tokenization.json_tokenizer import JSON_FILE
from bert_jax.tokenization.loading import from_files
from bert_jax.tokenization.sentence_piece import MODEL_FILE, SentencePieceTokenizer
from bert_jax.tokenization.tokenizer import Tokenizer
from bert_jax.tokenization.wordpiece import WordPieceTokenizer

# For each letter of a new piece of a unigram model: so much better is its score than that of its old pieces together.
# A new word that begins with another has more letters, so it wins over it, too.
BONUS = 1e-3
UNKNOWN_PENALTY = 10.0  # SentencePiece's: an unknown character has the lowest score of all less this


def add_words(tokenizer: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """Returns a tokenizer that encodes each of these words, after a space, as one piece.

    Words that are one piece already add nothing, and equal words add one piece. Like any piece, a new word may also
    begin longer words; other text keeps its ids.

    Args:
      tokenizer: stays as it is.
      words: are normalised as text is.

    Raises:
      TokenizerError: a string is not one word to this tokenizer, or cannot be a piece of it.
    """
    known = set(tokenizer.vocabulary)
    new: dict[str, list[int]] = {}
    for word in words:
        spelt, pieces = tokenizer.spell_words(f" {word}"), tokenizer.encode(f" {word}")
        if len(spelt) != 1 or not word.strip():
            raise TokenizerError(f"{quoted(word)} is not one word to this tokenizer: leave it out.")
        if spelt[0] not in known and (len(pieces) != 1 or pieces == [tokenizer.unk_id]):
            new.setdefault(spelt[0], pieces)
    extended = _extended(tokenizer, new) if new else tokenizer
    for word in words:
        found = extended.encode(f" {word} {word}")
        if len(found) != 2 or found[0] != found[1] or found[0] in extended.special_ids:
            raise TokenizerError(
                f"{quoted(word)} cannot be one piece of this tokenizer: leave it out, or fit a whole new vocabulary."
            )
    return extended


def _extended(tokenizer: Tokenizer, new: dict[str, list[int]]) -> Tokenizer:
    """Adds pieces, each given with its old pieces."""
    if isinstance(tokenizer, WordPieceTokenizer):
        return WordPieceTokenizer(
            (*tokenizer.vocabulary, *new),
            tokenizer.lowercase,
            tokenizer.strip_accents,
            tokenizer.split_cjk,
            tokenizer.extra_special_tokens,
            tokenizer.special_tokens,
        )
    if isinstance(tokenizer, SentencePieceTokenizer):
        model = ModelProto.FromString(tokenizer.files()[MODEL_FILE])
        scores = [piece.score for piece in model.pieces]
        lowest = min((p.score for p in model.pieces if p.type == ModelProto.SentencePiece.Type.NORMAL), default=0.0)
        for piece, score in _scored(new, scores, tokenizer.unk_id, lowest):
            model.pieces.add(piece=piece, score=score)
        return SentencePieceTokenizer(model.SerializeToString(deterministic=True))
    document = json.loads(tokenizer.files()[JSON_FILE])
    model = document["model"]
    # New ids follow those of added tokens, which become pieces of the model, too, so that no id is skipped.
    if isinstance(model["vocab"], dict):
        model["vocab"] = {piece: i for i, piece in enumerate((*tokenizer.vocabulary, *new)) if piece}
        if model["type"] == "BPE":
            # A whole word is looked up before its letters are merged: the same, if merges lead to every old piece.
            model["ignore_merges"] = True
    else:
        lowest = min(score for _, score in model["vocab"])
        model["vocab"] += [[piece, lowest] for piece in tokenizer.vocabulary[len(model["vocab"]) :]]
        scores = [score for _, score in model["vocab"]]
        model["vocab"] += [list(pair) for pair in _scored(new, scores, tokenizer.unk_id, lowest)]
    return from_files(tokenizer.files() | {JSON_FILE: json.dumps(document).encode()})


def _scored(new: dict[str, list[int]], scores: list[float], unk_id: int, lowest: float) -> list[tuple[str, float]]:
    """The new pieces of a unigram model with their scores."""
    scores[unk_id] = lowest - UNKNOWN_PENALTY
    return [(piece, sum(scores[i] for i in old) + BONUS * len(piece)) for piece, old in new.items()]
