"""Writes tokenizers as files for Hugging Face's `AutoTokenizer`, which then gives the same ids.

`tokenizer.json` describes our normalisation in steps of the `tokenizers` library. Its own `BertNormalizer` is not used,
and `PreTrainedTokenizerFast` is named as the class, because `BertTokenizer` would rebuild the steps from `vocab.txt`.
"""

import base64
import functools
import json
import unicodedata
from collections.abc import Callable
from typing import Any

# Protobuf makes it at import.
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # pyrefly: ignore[missing-module-attribute]

from bert_jax.errors import TokenizerError, quoted
from bert_jax.tokenization.frames import template
from bert_jax.tokenization.json_tokenizer import JSON_FILE, SEAL, JsonTokenizer
from bert_jax.tokenization.normalisation import is_cjk, is_punctuation
from bert_jax.tokenization.sentence_piece import MODEL_FILE, SPACE, SentencePieceTokenizer
from bert_jax.tokenization.stated import EXACT_FILE
from bert_jax.tokenization.tokenizer import RESERVED, Tokenizer
from bert_jax.tokenization.wordpiece import (
    CONFIG_FILE,
    MAX_WORD_CHARACTERS,
    PREFIX,
    VOCABULARY_FILE,
    WordPieceTokenizer,
)

# A break between characters that the library would otherwise normalise together, as one letter with its marks.
BREAK = "\ufff0"
UNJOINED = "\ufff1"
# Scripts whose letters stand alone.
ALONE = r" -~\u00a0-\u02ff\u0370-\u0482\u048a-\u052f\u1e00-\u1fff\u3041-\u3096\u30a1-\u30fa\u3400-\u9fff\uac00-\ud7a3"
Type = ModelProto.SentencePiece.Type


def hugging_face_tokenizer_files(
    tokenizer: Tokenizer, max_length: int | None = None, token_types: bool = True
) -> dict[str, bytes]:
    """Returns `tokenizer.json`, `tokenizer_config.json` and, for WordPiece, `vocab.txt`, by name.

    Args:
      tokenizer: any tokenizer of this package.
      max_length: the most tokens that the model takes, with special tokens; None leaves it open.
      token_types: whether the model tells the two texts of a pair apart by types.

    Raises:
      TokenizerError: the library cannot express the tokenizer.
    """
    files = {}
    if isinstance(tokenizer, WordPieceTokenizer):
        document = _wordpiece(tokenizer)
        files[VOCABULARY_FILE] = tokenizer.files()[VOCABULARY_FILE]
    elif isinstance(tokenizer, SentencePieceTokenizer):
        document = _sentence_piece(tokenizer)
    elif isinstance(tokenizer, JsonTokenizer):
        document = json.loads(tokenizer.files()[JSON_FILE])
    else:
        raise TokenizerError(f"{type(tokenizer).__name__} cannot be written for Hugging Face: use another tokenizer.")
    names, cls, sep = tokenizer.vocabulary, tokenizer.cls_id, tokenizer.sep_id
    frame = template(names[cls], cls, names[sep], sep, tokenizer.separators_between)
    document["post_processor"] = document.get("post_processor") or frame
    five = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": names[tokenizer.pad_id],
        "unk_token": names[tokenizer.unk_id],
        "cls_token": names[tokenizer.cls_id],
        "sep_token": names[tokenizer.sep_id],
        "mask_token": names[tokenizer.mask_id],
        "additional_special_tokens": [names[i] for i in tokenizer.special_ids if i not in five],
        "model_input_names": ["input_ids", *(["token_type_ids"] if token_types else []), "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }
    if isinstance(tokenizer, WordPieceTokenizer):
        config |= {
            "do_lower_case": tokenizer.lowercase,
            "strip_accents": tokenizer.strip_accents,
            "tokenize_chinese_chars": tokenizer.split_cjk,
            EXACT_FILE: VOCABULARY_FILE,
        }
    if max_length is not None:
        config["model_max_length"] = max_length
    return files | {JSON_FILE: _json(document), CONFIG_FILE: _json(config)}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _document(tokenizer: Tokenizer, **parts: Any) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [{"id": i, "content": tokenizer.vocabulary[i], **flags, "special": True} for i in tokenizer.special_ids]
    # The mask replaces a word and the space before it.
    for token in added:
        token["lstrip"] = token["id"] == tokenizer.mask_id
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added} | parts


def _replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _sequence(kind: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Sequence", kind: steps}


def _wordpiece(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    steps = [_replace(_class(_is_dropped), "")]
    if tokenizer.lowercase:
        cased, ignored = _class(_is_cased), _class(_is_case_ignorable)
        steps += [_replace(rf"{cased}{ignored}*\KΣ(?!{ignored}*{cased})", "ς"), {"type": "Lowercase"}]
    if tokenizer.strip_accents:
        steps += [{"type": "NFD"}, _replace(_class(_is_accent), "")]
    alone = _is_word if tokenizer.split_cjk else is_punctuation
    splits = [
        {"type": "Split", "pattern": {"Regex": _class(pattern)}, "behavior": behavior, "invert": False}
        for pattern, behavior in ((str.isspace, "Removed"), (alone, "Isolated"))
    ]
    return _document(
        tokenizer,
        normalizer=_sequence("normalizers", steps),
        pre_tokenizer=_sequence("pretokenizers", splits),
        decoder={"type": "WordPiece", "prefix": PREFIX, "cleanup": False},
        model={
            "type": "WordPiece",
            "unk_token": tokenizer.vocabulary[tokenizer.unk_id],
            "continuing_subword_prefix": PREFIX,
            "max_input_chars_per_word": MAX_WORD_CHARACTERS,
            "vocab": {piece: i for i, piece in enumerate(tokenizer.vocabulary)},
        },
    )


def _is_dropped(c: str) -> bool:
    return c in "\0\ufffd" or (unicodedata.category(c) in ("Cc", "Cf") and c not in "\t\n\r")


def _is_accent(c: str) -> bool:
    return unicodedata.category(c) == "Mn"


def _is_word(c: str) -> bool:
    return is_cjk(c) or is_punctuation(c)


def _is_cased(c: str) -> bool:
    """As in the rule of `str.lower` for a sigma: it is not final if a cased letter follows."""
    return ("AΣ" + c).lower()[1] == "σ"


def _is_case_ignorable(c: str) -> bool:
    return not _is_cased(c) and ("AΣ" + c + "A").lower()[1] == "σ"


@functools.cache
def _class(belongs: Callable[[str], bool]) -> str:
    """A regular expression for one of the characters for which `belongs` is true: by Python's tables, as in ours."""
    ranges: list[list[int]] = []
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000 and belongs(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "[" + "".join(rf"\x{{{low:x}}}-\x{{{high:x}}}" for low, high in ranges) + "]"


def _sentence_piece(tokenizer: SentencePieceTokenizer) -> dict[str, Any]:
    model = ModelProto.FromString(tokenizer.files()[MODEL_FILE])
    spec, kinds = model.normalizer_spec, {Type.NORMAL, Type.CONTROL, Type.UNKNOWN}
    if odd := [piece.piece for piece in model.pieces if piece.type not in kinds]:
        raise TokenizerError(
            f"The piece {quoted(odd[0])} of the SentencePiece model is of a kind that tokenizer.json cannot express"
            " (unused, user-defined or a byte): export another tokenizer."
        )
    usual = spec.add_dummy_prefix and spec.remove_extra_whitespaces and spec.escape_whitespaces
    if not usual or model.trainer_spec.treat_whitespace_as_suffix:
        raise TokenizerError(
            "The SentencePiece model treats spaces in a way that tokenizer.json cannot express: export another"
            " tokenizer."
        )
    return _document(
        tokenizer,
        normalizer=_sequence("normalizers", _sentence_piece_steps(spec)),
        pre_tokenizer={"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False},
        decoder={"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": False},
        model=_bpe(model) if model.trainer_spec.model_type == model.trainer_spec.BPE else _unigram(model, tokenizer),
    )


def _sentence_piece_steps(spec: Any) -> list[dict[str, Any]]:
    steps = []
    if spec.precompiled_charsmap:
        # The library replaces a letter with its marks at once, by the first rule that fits. So each character is
        # replaced by itself, and NFC joins them again.
        steps += [
            _replace(rf"(?!\A)(?!\z)(?:(?=[^{ALONE}])|(?<=[^{ALONE}]))", BREAK),
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(spec.precompiled_charsmap).decode()},
            _replace(BREAK, ""),
        ]
        if "nfkc" in spec.name:
            # SentencePiece decomposes U+0344 and does not join its parts with the letter before.
            steps = [_replace(r"\x{344}", UNJOINED), *steps, {"type": "NFC"}, _replace(UNJOINED, "\u0308\u0301")]
    # SentencePiece strips a literal ▁ from the end too, and puts its own before one at the start.
    return [*steps, _replace(" {2,}", " "), _replace(f"[ {SPACE}]+\\z", ""), _replace(f"\\A{SPACE}", SPACE * 2)]


def _piece_name(piece: Any) -> str:
    """Text must not spell a reserved slot."""
    return SEAL + piece.piece if piece.type == Type.CONTROL and RESERVED.fullmatch(piece.piece) else piece.piece


def _unigram(model: Any, tokenizer: Tokenizer) -> dict[str, Any]:
    normal = [piece for piece in model.pieces if piece.type == Type.NORMAL]
    lowest = min((piece.score for piece in normal), default=0.0)
    pieces = {piece.piece for piece in normal}
    # The library gives an unknown character the lowest score of all, less 10. This decides nothing if each character
    # of a piece is known by itself; then special pieces can have a score that is too low for any text.
    if all(character in pieces for piece in pieces for character in piece):
        special = (lowest - 1.0) * 1000
    else:
        special = lowest
    scores = [piece.score if piece.type == Type.NORMAL else special for piece in model.pieces]
    vocabulary = [[_piece_name(piece), score] for piece, score in zip(model.pieces, scores, strict=True)]
    return {"type": "Unigram", "unk_id": tokenizer.unk_id, "byte_fallback": False, "vocab": vocabulary}


def _bpe(model: Any) -> dict[str, Any]:
    ids = {piece.piece: i for i, piece in enumerate(model.pieces) if piece.type == Type.NORMAL}
    merges = []
    for piece in sorted(ids, key=lambda piece: (-model.pieces[ids[piece]].score, ids[piece])):
        pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        merges += sorted((p for p in pairs if p[0] in ids and p[1] in ids), key=lambda p: (ids[p[0]], ids[p[1]]))
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": next(piece.piece for piece in model.pieces if piece.type == Type.UNKNOWN),
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {_piece_name(piece): i for i, piece in enumerate(model.pieces)},
        "merges": [list(pair) for pair in merges],
    }
