"""Text cut at its spaces, for tokenizers that split it there, so that what occurs again is looked up."""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from bert_jax.tokenization.byte_level import WORDS

# What is between two spaces, with the first of them. A word of usual letters is cut off before a sign, too: every
# pattern below splits there.
LETTERS, SIGNS = "A-Za-zÀ-ÖØ-öø-ɏΑ-ΡΣ-ωА-яЁё", "!-/:-@[-`{-~"
CHUNK = re.compile(rf" ?[{LETTERS}]+(?=[{SIGNS}])| ?[^ ]+")
# An added token that is never cut itself.
WHOLE = re.compile(rf"[^ {LETTERS}][^ ]*|[^ {SIGNS}]+| {{2,}}")
# Longer ones, as in scripts without spaces, do not come again. About 250 MB when full.
LONGEST, CACHED = 40, 1_000_000


class Chunks(dict):
    """Maps chunks to ids, and keeps them."""

    def __init__(self, encode: Callable[[str], Sequence[int]]):
        """Creates an empty map, given what encodes a chunk."""
        self._encode = encode

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        ids = tuple(self._encode(chunk))
        if len(chunk) <= LONGEST and len(self) < CACHED:
            self[chunk] = ids
        return ids

    def cut(self, text: str) -> list[int] | None:
        """The ids of a text; None if it has other white space than single spaces before words."""
        words = text.split()
        if not words or " ".join(words) != text.removeprefix(" "):
            return None
        return list(itertools.chain.from_iterable(map(self.__getitem__, CHUNK.findall(text))))


def cuts_at_spaces(document: dict[str, Any], added: Sequence[dict[str, Any]]) -> bool:
    """Whether the ids of a text are those of its chunks.

    They are for the patterns of GPT-2 and of our own training, which begin a word at each single space, if no step
    before them looks beyond a chunk.

    Args:
      document: a `tokenizer.json`.
      added: its tokens that are found in text.
    """
    normalizer = document.get("normalizer") or {"type": "Sequence", "normalizers": []}
    steps = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    if not all(step in ({"type": "NFC"}, {"type": "Lowercase"}) for step in steps):
        return False
    splits = document.get("pre_tokenizer") or {"type": ""}
    parts = splits["pretokenizers"] if splits["type"] == "Sequence" else [splits]
    *patterns, last = parts
    words = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}
    if last["type"] != "ByteLevel" or last["add_prefix_space"] or patterns != ([] if last["use_regex"] else [words]):
        return False
    return not any(
        token["lstrip"] or token["rstrip"] or token["single_word"] or not WHOLE.fullmatch(token["content"])
        for token in added
    )
