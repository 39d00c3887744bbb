"""Text policy: what happens to bytes before they become sentences, and how often it happened.

Invalid UTF-8 and lone surrogates become U+FFFD; a byte-order mark and control characters (NUL included) go;
CRLF and CR become LF. A line is a paragraph; sentences never cross lines.
"""

import collections
import re

import sentencex

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
SURROGATE = re.compile("[\ud800-\udfff]")


def decode(content: bytes, counts: collections.Counter[str]) -> str:
    """Bytes to text under the policy; `counts` gains the number of replacements made of each kind."""
    text = content.decode("utf-8", errors="replace")
    if "\ufffd" in text:
        counts["replaced_characters"] += text.count("\ufffd")
    return clean(text, counts)


def clean(text: str, counts: collections.Counter[str]) -> str:
    """Applies the policy to text that is already decoded."""
    text, surrogates = SURROGATE.subn("\ufffd", text)
    if "\r" in text:
        counts["carriage_returns"] += text.count("\r")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text, controls = CONTROL.subn("", text)
    if surrogates:
        counts["replaced_characters"] += surrogates
    if controls:
        counts["control_characters"] += controls
    return text


def paragraphs(text: str) -> list[str]:
    """The non-empty lines, without the spaces around them."""
    return [line for raw in text.split("\n") if (line := raw.strip())]


def sentences(paragraph: str, language: str) -> list[str]:
    """The sentences of one paragraph by the rules of its language (a two-letter code)."""
    return [sentence for raw in sentencex.segment(language, paragraph) if (sentence := raw.strip())]
