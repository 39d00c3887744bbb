"""RoBERTa's byte-level BPE from `vocab.json` and `merges.txt` (Radford et al. 2019; Liu et al. 2019)."""

from typing import Any

from bert_jax.errors import TokenizerError, quoted
from bert_jax.foreign_files import parse_json
from bert_jax.tokenization.stated import Stated

PIECES_FILE, MERGES_FILE = "vocab.json", "merges.txt"


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
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": stated.options.get("add_prefix_space", False),
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": _merges(merges, vocabulary),
        },
    }


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
