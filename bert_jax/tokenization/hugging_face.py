"""Reads Hugging Face's `tokenizer.json`: BERT's WordPiece as our own, other kinds through the `tokenizers` library."""

import json
from collections.abc import Sequence
from typing import Any

from absl import logging

from bert_jax.errors import TokenizerError, quoted
from bert_jax.tokenization.frames import separators_between, template
from bert_jax.tokenization.json_tokenizer import JSON_FILE, JsonTokenizer
from bert_jax.tokenization.stated import CAMEMBERT, ROBERTA, XLM_ROBERTA, Stated
from bert_jax.tokenization.tokenizer import CLS, SEP, SPECIAL_TOKENS, SPELLINGS, UNK, Tokenizer
from bert_jax.tokenization.wordpiece import CONFIG_FILE, PREFIX, WordPieceTokenizer

# A file with larger ids is damaged, and would fill the memory; so is one with many ids that no piece has.
MAX_PIECES, MAX_UNUSED = 5_000_000, 100_000
NORMALIZER_OPTIONS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def parse_tokenizer_json(content: bytes) -> dict[str, Any]:
    """Parses a `tokenizer.json`.

    Raises:
      TokenizerError: it is not JSON.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise TokenizerError(f"{JSON_FILE} is not JSON: fetch it again.") from None


def open_document(document: dict[str, Any], stated: Stated, source: str = JSON_FILE) -> Tokenizer:
    """Makes the tokenizer that a parsed `tokenizer.json` describes.

    Args:
      document: the file.
      stated: what the files beside it state.
      source: the file that it was made from, for messages.

    Raises:
      TokenizerError: it is damaged, or added tokens have other ids in the files beside it.
    """
    try:
        document["model"].setdefault("type", _kind(document["model"]))
        _apply_options(document, stated)
        vocabulary = model_pieces(document, source)
        document["added_tokens"] = with_added(document["added_tokens"], vocabulary, stated)
        _frame(document, vocabulary, stated)
        if _is_bert(document):
            return _wordpiece(document, vocabulary, stated)
        return JsonTokenizer(document, vocabulary, stated.names)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, RecursionError, OverflowError) as error:
        raise TokenizerError(
            f"{source} is damaged ({type(error).__name__}: {quoted(str(error))}): fetch it again."
        ) from None


def _kind(model: dict[str, Any]) -> str:
    """Infers the kind of a model whose file is too old to name it."""
    if isinstance(model["vocab"], list):
        return "Unigram"
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "max_input_chars_per_word" in model else "WordLevel"


def model_pieces(document: dict[str, Any], source: str = JSON_FILE) -> list[str]:
    """The pieces by id, with added tokens. Unused ids have empty pieces.

    Raises:
      TokenizerError: an id is of no piece's kind, or two pieces have the same.
    """
    vocabulary = document["model"]["vocab"]
    rows = vocabulary.items() if isinstance(vocabulary, dict) else ((row[0], i) for i, row in enumerate(vocabulary))
    by_id: dict[int, str] = {}
    for piece, i in (*rows, *((token["content"], token["id"]) for token in document["added_tokens"])):
        if not (type(i) is int and 0 <= i < MAX_PIECES and isinstance(piece, str)):
            raise TokenizerError(f"{source} gives {quoted(piece)} the id {quoted(i)}, which is none: fetch it again.")
        if by_id.setdefault(i, piece) != piece:
            raise TokenizerError(
                f"{source} gives {quoted(by_id[i])} and {quoted(piece)} the same id {i}: fetch it again."
            )
    size = max(by_id) + 1
    if size - len(by_id) > max(MAX_UNUSED, len(by_id)):
        raise TokenizerError(f"{source} has ids up to {size - 1:,}, but only {len(by_id):,} pieces: fetch it again.")
    return [by_id.get(i, "") for i in range(size)]


def with_added(added: Sequence[dict[str, Any]], vocabulary: list[str], stated: Stated) -> list[dict[str, Any]]:
    """The added tokens of a file with those that are stated beside it, which are appended to `vocabulary`.

    Raises:
      TokenizerError: the vocabulary has another id for one, or the id is not the next free one.
    """
    by_id = {token["id"]: token for token in added}
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    for i, token in sorted(stated.added.items()):
        name = token["content"]
        expected = ids.get(name, len(vocabulary))
        if i != expected:
            free = "the vocabulary has it as" if name in ids else "the next free one is"
            raise TokenizerError(
                f"{stated.added_from} gives {quoted(name)} the id {i}, but {free} {expected}: restore the file that"
                " belongs to this vocabulary."
            )
        if name not in ids:
            ids[name] = i
            vocabulary.append(name)
        by_id[i] = dict(token)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    for name in stated.extra:
        if name not in ids:
            ids[name] = len(vocabulary)
            vocabulary.append(name)
            logging.warning("The vocabulary has no %s, so it is appended as id %d.", quoted(name), ids[name])
    for name in (*stated.extra, *stated.mentioned):
        if name in ids:
            # A word that a file lists among the special tokens, and says is none, is found in text.
            by_id.setdefault(ids[name], {"id": ids[name], "content": name, **flags, "special": True})
    return [by_id[i] for i in sorted(by_id)]


def _apply_options(document: dict[str, Any], stated: Stated) -> None:
    """Where `tokenizer_config.json` contradicts the file, it wins, unless its class is a generic one."""
    normalizer, before = document.get("normalizer"), document.get("pre_tokenizer")
    places = []
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        places = [(normalizer, theirs, option) for option, theirs in NORMALIZER_OPTIONS.items()]
    if isinstance(before, dict) and before.get("type") == "ByteLevel":
        places.append((before, "add_prefix_space", "add_prefix_space"))
    for part, field, option in places:
        wanted = stated.options.get(option)
        if wanted is None or bool(part.get(field)) == wanted or (field == "strip_accents" and part[field] is None):
            continue
        logging.warning(
            "%s has %s=%s, but %s has %s=%s: the %s is used, as in transformers.",
            *(CONFIG_FILE, option, str(wanted).lower(), JSON_FILE, field, str(part.get(field)).lower()[:5]),
            "latter" if stated.is_generic else "former",
        )
        if not stated.is_generic:
            part[field] = wanted


def _frame(document: dict[str, Any], vocabulary: list[str], stated: Stated) -> None:
    """RoBERTa, XLM-R and CamemBERT have two separators between texts, whatever the file says."""
    if stated.kind not in (ROBERTA, XLM_ROBERTA, CAMEMBERT) or separators_between(document["post_processor"]) == 2:
        return
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    cls, sep = (spelling(token, ids, stated) for token in (CLS, SEP))
    if cls in ids and sep in ids:
        document["post_processor"] = template(cls, ids[cls], sep, ids[sep], 2)


def spelling(token: str, ids: dict[str, int], stated: Stated) -> str:
    """How a vocabulary spells a special token: as is stated, or in the first of the usual ways that it has."""
    return stated.names.get(token) or next((name for name in SPELLINGS[token] if name in ids), token)


def _is_bert(document: dict[str, Any]) -> bool:
    kinds = [(document[part] or {}).get("type") for part in ("model", "normalizer", "pre_tokenizer")]
    return (
        kinds == ["WordPiece", "BertNormalizer", "BertPreTokenizer"]
        and document["model"]["continuing_subword_prefix"] == PREFIX
        and document["normalizer"]["clean_text"]
        and all(token["special"] for token in document["added_tokens"])
    )


def _wordpiece(document: dict[str, Any], vocabulary: list[str], stated: Stated) -> WordPieceTokenizer:
    normalizer = document["normalizer"]
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    five = [spelling(token, ids, stated) for token in SPECIAL_TOKENS]
    five[SPECIAL_TOKENS.index(UNK)] = document["model"].get("unk_token") or UNK
    extra = [token["content"] for token in document["added_tokens"] if token["content"] not in five]
    options = (normalizer["lowercase"], normalizer["strip_accents"], normalizer["handle_chinese_chars"])
    return WordPieceTokenizer(vocabulary, *options, extra, five)
