"""Text policy: what happens to bytes before they become sentences, and how often it happened.

Invalid UTF-8 and lone surrogates become U+FFFD; byte-order marks and control characters (NUL included) go;
CRLF and CR become LF. A line is a paragraph; sentences never cross lines.
"""

import collections
import re

import sentencex

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
SURROGATE = re.compile("[\ud800-\udfff]")
# The splitter counts bytes where it should count characters when it meets these behind an initial, and panics.
OTHER_SPACES = re.compile(r"[^\S ]")
REPLACEMENT = "\ufffd"
# The splitter takes quadratic time on text that is not ASCII, so it sees a window of so many characters at a time;
# a sentence that does not end within one is cut.
WINDOW = 4096


def decode(content: bytes, counts: collections.Counter[str]) -> str:
    """Bytes to text under the policy; `counts` gains the number of replacements made of each kind."""
    return clean(decode_only(content, counts), counts)


def decode_only(content: bytes, counts: collections.Counter[str]) -> str:
    """Bytes to text: the first half of the policy, for formats that wrap text in something else."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("utf-8", errors="replace")
        # Some may have been in the text: only those that were put there count.
        counts["replaced_characters"] += text.count(REPLACEMENT) - content.count(REPLACEMENT.encode())
        return text


def clean(text: str, counts: collections.Counter[str]) -> str:
    """Applies the policy to text that is already decoded."""
    if not text.isascii():
        text, surrogates = SURROGATE.subn(REPLACEMENT, text)
        if surrogates:
            counts["replaced_characters"] += surrogates
    if "\r" in text:
        counts["carriage_returns"] += text.count("\r")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text, controls = CONTROL.subn("", text)
    if controls:
        counts["control_characters"] += controls
    return text


def paragraphs(text: str) -> list[str]:
    """The non-empty lines, without the spaces around them."""
    return [line for raw in text.split("\n") if (line := raw.strip())]


def sentences(paragraph: str, language: str, counts: collections.Counter[str]) -> list[str]:
    """The sentences of one paragraph by the rules of its language; each space of another kind becomes a plain one.

    Args:
      paragraph: one line of any length.
      language: a two-letter code; one that the splitter does not know gets its common rules, which know the full
        stops of most scripts but no abbreviations.
      counts: gains `cut_sentences`, one for each cut inside a sentence, and `unsplit_paragraphs`.
    """
    if not paragraph.isascii() or "\t" in paragraph:
        paragraph = OTHER_SPACES.sub(" ", paragraph)
    result, start = [], 0
    while len(paragraph) - start > WINDOW:
        found = _segment(paragraph[start : start + WINDOW], language, counts)
        if len(found) > 1:
            found.pop()  # it may go on behind the window
        else:
            space = found[0].rfind(" ", WINDOW // 2)
            found = [found[0][: space + 1 or WINDOW]]
            counts["cut_sentences"] += 1
        result += found
        start += sum(map(len, found))
    result += _segment(paragraph[start:] if start else paragraph, language, counts)
    return [sentence for raw in result if (sentence := raw.strip())]


def _segment(text: str, language: str, counts) -> list[str]:
    """Consecutive parts that make up `text`."""
    try:
        return sentencex.segment(language, text)
    except BaseException as error:
        # What a Rust panic becomes in Python; one paragraph must not end a build of days.
        if type(error).__name__ != "PanicException":
            raise
        counts["unsplit_paragraphs"] += 1
        return [text]
