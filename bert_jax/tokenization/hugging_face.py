"""Reads Hugging Face's `tokenizer.json`: BERT's WordPiece as our own, other kinds through the `tokenizers` library."""

import json
from typing import Any

from bert_jax.errors import TokenizerError, quoted
from bert_jax.tokenization.json_tokenizer import JSON_FILE as JSON_FILE
from bert_jax.tokenization.json_tokenizer import JsonTokenizer
from bert_jax.tokenization.tokenizer import SPECIAL_TOKENS, Tokenizer
from bert_jax.tokenization.wordpiece import PREFIX, WordPieceTokenizer

# A file with larger ids is damaged, and would fill the memory.
MAX_PIECES = 5_000_000


def read_tokenizer_json(content: bytes) -> Tokenizer:
    """Makes the tokenizer that a `tokenizer.json` describes.

    Raises:
      TokenizerError: the content is not a `tokenizer.json`, or is damaged.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise TokenizerError("tokenizer.json is not JSON: fetch it again.") from None
    try:
        document["model"].setdefault("type", _kind(document["model"]))
        vocabulary = _vocabulary(document)
        if _is_bert(document):
            return _wordpiece(document, vocabulary)
        return JsonTokenizer(document, vocabulary)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise TokenizerError(
            f"tokenizer.json is damaged ({type(error).__name__}: {quoted(str(error))}): fetch it again."
        ) from None


def _kind(model: dict[str, Any]) -> str:
    """Infers the kind of a model whose file is too old to name it."""
    if isinstance(model["vocab"], list):
        return "Unigram"
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "max_input_chars_per_word" in model else "WordLevel"


def _vocabulary(document: dict[str, Any]) -> list[str]:
    """The pieces by id, with added tokens. Unused ids have empty pieces."""
    vocabulary = document["model"]["vocab"]
    rows = vocabulary.items() if isinstance(vocabulary, dict) else ((row[0], i) for i, row in enumerate(vocabulary))
    by_id = {i: piece for piece, i in rows} | {token["id"]: token["content"] for token in document["added_tokens"]}
    for i, piece in by_id.items():
        if not (type(i) is int and 0 <= i < MAX_PIECES and isinstance(piece, str)):
            raise ValueError(f"piece {quoted(str(piece))} has id {quoted(str(i))}")
    return [by_id.get(i, "") for i in range(max(by_id) + 1)]


def _is_bert(document: dict[str, Any]) -> bool:
    kinds = [(document[part] or {}).get("type") for part in ("model", "normalizer", "pre_tokenizer")]
    return (
        kinds == ["WordPiece", "BertNormalizer", "BertPreTokenizer"]
        and document["model"]["continuing_subword_prefix"] == PREFIX
        and document["normalizer"]["clean_text"]
        and all(token["special"] for token in document["added_tokens"])
    )


def _wordpiece(document: dict[str, Any], vocabulary: list[str]) -> WordPieceTokenizer:
    normalizer = document["normalizer"]
    extra = [token["content"] for token in document["added_tokens"] if token["content"] not in SPECIAL_TOKENS]
    return WordPieceTokenizer(
        vocabulary, normalizer["lowercase"], normalizer["strip_accents"], normalizer["handle_chinese_chars"], extra
    )
