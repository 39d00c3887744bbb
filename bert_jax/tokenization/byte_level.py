"""Byte-level BPE (Radford et al. 2019): its alphabet, where its words begin, and its `tokenizer.json`."""

import functools
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from bert_jax.errors import TokenizerError, quoted
from bert_jax.foreign_files import parse_json
from bert_jax.tokenization.stated import Stated
from bert_jax.tokenization.tokenizer import stands_alone

PIECES_FILE, MERGES_FILE = "vocab.json", "merges.txt"
BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")
# How a trained vocabulary cuts text into words: as GPT-2's (Radford et al. 2019), but marks stay with their letters, as
# the vowel signs of Hindi do, and numbers are cut after three digits, as for Llama 3 (Grattafiori et al. 2024).
WORDS = r"'(?i:[sdmt]|ll|ve|re)| ?\p{L}[\p{L}\p{M}]*| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# A space before a text that begins with none. (The library's own option, with a pattern, puts one before each word.)
SPACE_FIRST = (
    {"type": "Prepend", "prepend": " "},
    {"type": "Replace", "pattern": {"Regex": r"\A  "}, "content": " "},
)
# Enough of the characters that begin with the same bytes to know most of them.
CHARACTERS_ASKED = 4096


def _byte_letters() -> dict[str, int]:
    """Maps the printable characters in byte-level pieces to the bytes they represent (Radford et al. 2019)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_LETTERS = _byte_letters()


def bytes_of(piece: str) -> bytes:
    """The bytes that a piece spells; characters that spell none are left out."""
    return bytes(BYTE_LETTERS[letter] for letter in piece if letter in BYTE_LETTERS)


def byte_of(piece: str) -> bytes:
    """The byte of a piece such as `<0xE6>`, by which SentencePiece spells unknown characters; none of others."""
    found = BYTE_PIECE.fullmatch(piece)
    return bytes.fromhex(found[1]) if found else b""


def letters_of(piece: str) -> str:
    """The text that a piece spells, with `Ġ` for spaces; the piece itself if it begins or ends within a character."""
    try:
        text = bytes_of(piece).decode().replace(" ", "Ġ")
    except UnicodeDecodeError:
        return piece
    return text if text.isprintable() and text else piece


def begins_word(content: bytes) -> bool:
    """Whether a piece with these bytes of UTF-8 begins a word: with a space, or with a character that stands alone.

    Bytes that go on a character begin none. The first bytes of an incomplete character do if most characters that begin
    so would: E6 is the first byte of Chinese characters alone.
    """
    if not content or 0x80 <= content[0] < 0xC2 or content[0] > 0xF4:
        return False
    size = 1 if content[0] < 0x80 else 2 if content[0] < 0xE0 else 3 if content[0] < 0xF0 else 4
    if len(content) < size:
        return _most_begin_words(content, size)
    return _stands_alone(content[:size].decode(errors="ignore"))


def _stands_alone(character: str) -> bool:
    return character.isspace() or stands_alone(character)


@functools.cache
def _most_begin_words(begin: bytes, size: int) -> bool:
    code = begin[0] & 0x7F >> size
    for byte in begin[1:]:
        code = code << 6 | byte & 0x3F
    width = 6 * (size - len(begin))
    first, last = max(code << width, (0, 0, 0x80, 0x800, 0x10000)[size]), min((code + 1) << width, 0x110000)
    codes = range(first, last, max(1, (last - first) // CHARACTERS_ASKED))
    asked = [chr(code) for code in codes if unicodedata.category(chr(code))[0] != "C"]
    return 2 * sum(map(_stands_alone, asked)) > len(asked)


def byte_level_document(pieces: bytes, merges: bytes, stated: Stated) -> dict[str, Any]:
    """Makes the `tokenizer.json` of a `vocab.json` and a `merges.txt`, as `RobertaTokenizer` builds it.

    Raises:
      TokenizerError: a file is damaged, or the two are not of the same vocabulary.
    """
    vocabulary = parse_json(PIECES_FILE, pieces, TokenizerError)
    # As many merges as pieces is already more than training makes.
    if (count := merges.count(b"\n")) > 2 * len(vocabulary) + 2:
        raise TokenizerError(
            f"{MERGES_FILE} has {count:,} lines for {len(vocabulary):,} pieces of {PIECES_FILE}: one of them belongs to"
            " another model."
        )
    splits = _bytes(add_prefix_space=stated.options.get("add_prefix_space", False))
    return _document(vocabulary, _merges(merges, vocabulary), pre_tokenizer=splits)


def trained_document(
    vocabulary: Mapping[str, int], merges: Sequence[Sequence[str]], lowercase: bool, **parts: Any
) -> dict[str, Any]:
    """Makes the `tokenizer.json` of a trained vocabulary: NFC, a space before the text, and words by `WORDS`.

    The space makes the first word of a text, or of a sentence of a corpus, the same pieces as any other. It is not put
    before a space.

    Args:
      vocabulary: pieces and their ids.
      merges: pairs of pieces, the first ones first.
      lowercase: whether text is lower-cased.
      **parts: further parts of the document.
    """
    steps = [*([{"type": "Lowercase"}] if lowercase else []), {"type": "NFC"}, *SPACE_FIRST]
    words = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}
    return _document(
        vocabulary,
        merges,
        normalizer={"type": "Sequence", "normalizers": steps},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [words, _bytes(use_regex=False)]},
        **parts,
    )


def spells_bytes(document: dict[str, Any]) -> bool:
    """Whether the pieces of a `tokenizer.json` spell bytes in `BYTE_LETTERS`."""
    return '"ByteLevel"' in json.dumps([document.get(part) for part in ("normalizer", "pre_tokenizer", "decoder")])


def without_space(document: dict[str, Any]) -> dict[str, Any] | None:
    """The same `tokenizer.json` without the space that it puts before a text; None if it puts none there."""
    splits, normalizer = document.get("pre_tokenizer") or {}, document.get("normalizer") or {}
    if splits.get("type") == "ByteLevel" and splits["add_prefix_space"]:
        return document | {"pre_tokenizer": splits | {"add_prefix_space": False}}
    steps = normalizer.get("normalizers", [])
    if kept := [step for step in steps if step not in SPACE_FIRST]:
        return document | {"normalizer": normalizer | {"normalizers": kept}} if len(kept) < len(steps) else None
    return None


def _document(vocabulary: Mapping[str, Any], merges: Sequence[Sequence[str]], **parts: Any) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": _bytes(add_prefix_space=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    } | parts


def _bytes(add_prefix_space: bool = False, use_regex: bool = True) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def _merges(content: bytes, vocabulary: dict[str, Any]) -> list[list[str]]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise TokenizerError(f"{MERGES_FILE} is not UTF-8 text: fetch it again.") from None
    # Not splitlines(), which also splits at characters that may be in a piece.
    lines = [line.removesuffix("\r") for line in text.split("\n") if not line.startswith("#version")]
    merges = [line.split(" ") for line in lines if line]
    for pair in merges:
        if len(pair) != 2 or not all(piece in vocabulary for piece in (*pair, "".join(pair))):
            raise TokenizerError(
                f"{MERGES_FILE} has the line {quoted(' '.join(pair))}, which is not two pieces of {PIECES_FILE} that"
                " make a third: fetch both files again."
            )
    return merges
