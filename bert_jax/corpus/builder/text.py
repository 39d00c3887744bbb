"""The text policy: how bytes are cleaned before they become sentences. Every change is counted.

Invalid UTF-8 and lone surrogates become U+FFFD. CRLF, CR and the characters that separate lines and pages become LF.
Byte-order marks and other control characters (also NUL) are removed. Each line is a paragraph, and no sentence crosses
a line end.
"""

import collections
import re

import sentencex

# Vertical tab, form feed, file, group, record and unit separator, next line: without them, words would be glued.
SEPARATOR = re.compile("[\x0b\x0c\x1c-\x1f\x85]")
CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f\ufeff]")
SURROGATE = re.compile("[\ud800-\udfff]")
# After an initial, the splitter counts these in bytes instead of characters, and panics.
OTHER_SPACES = re.compile(r"[^\S ]")
REPLACEMENT = "\ufffd"
# The splitter takes quadratic time on text that is not ASCII, so it gets a window of this many characters at a time.
# A sentence that does not end within the window is cut.
WINDOW = 4096


def decode(content: bytes, counts: collections.Counter[str]) -> str:
    """Decodes and cleans bytes. The number of changes of each kind is added to `counts`."""
    return clean(decode_only(content, counts), counts)


def decode_only(content: bytes, counts: collections.Counter[str]) -> str:
    """Decodes bytes without cleaning the text: the first half of the policy, for formats that wrap text."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("utf-8", errors="replace")
        # The text itself may contain U+FFFD; only replacements count.
        counts["replaced_characters"] += text.count(REPLACEMENT) - content.count(REPLACEMENT.encode())
        return text


def clean(text: str, counts: collections.Counter[str]) -> str:
    """Applies the policy to decoded text."""
    if not text.isascii():
        text, surrogates = SURROGATE.subn(REPLACEMENT, text)
        if surrogates:
            counts["replaced_characters"] += surrogates
    if "\r" in text:
        counts["carriage_returns"] += text.count("\r")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text, controls = CONTROL.subn("", SEPARATOR.sub("\n", text))
    if controls:
        counts["control_characters"] += controls
    return text


def paragraphs(text: str) -> list[str]:
    """Splits text into its lines, stripped of white space, without empty ones."""
    return [line for raw in text.split("\n") if (line := raw.strip())]


def sentences(paragraph: str, language: str, counts: collections.Counter[str]) -> list[str]:
    """Splits a paragraph into sentences by the rules of its language. Spaces of other kinds become plain ones.

    Args:
      paragraph: one line of any length.
      language: a two-letter code. For an unknown one, the splitter uses its common rules, which cover the full stops
        of most scripts but no abbreviations.
      counts: `cut_sentences`, one per cut inside a sentence, and `unsplit_paragraphs` are added to it.
    """
    if not paragraph.isascii() or "\t" in paragraph:
        paragraph = OTHER_SPACES.sub(" ", paragraph)
    result, start = [], 0
    while len(paragraph) - start > WINDOW:
        found = _segment(paragraph[start : start + WINDOW], language, counts)
        if len(found) > 1:
            found.pop()  # it may continue after the window
        else:
            space = found[0].rfind(" ", WINDOW // 2)
            found = [found[0][: space + 1 or WINDOW]]
            counts["cut_sentences"] += 1
        result += found
        start += sum(map(len, found))
    result += _segment(paragraph[start:] if start else paragraph, language, counts)
    return [sentence for raw in result if (sentence := raw.strip())]


def _segment(text: str, language: str, counts) -> list[str]:
    """Splits `text` into consecutive parts."""
    try:
        return sentencex.segment(language, text)  # pyrefly: ignore[missing-attribute]  # a native module without stubs
    except BaseException as error:
        # A Rust panic. A single paragraph must not end a build that takes days.
        if type(error).__name__ != "PanicException":
            raise
        counts["unsplit_paragraphs"] += 1
        return [text]
