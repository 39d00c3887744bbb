"""Opens a file of text as a stream of UTF-8 bytes, whatever its compression and encoding.

Both are found by the first bytes. gzip, bzip2 and xz are decompressed. UTF-16 and UTF-32 are recognised by their
byte-order mark and converted; any other encoding must be named. What can only be garbage as text is refused.
"""

import bz2
import codecs
import encodings.aliases
import gzip
import io
import lzma
import typing
import zlib
from collections.abc import Callable
from typing import NamedTuple

from etils import epath

from bert_jax.errors import CorpusError, did_you_mean
from bert_jax.foreign_files import check_no_pointer

UTF8 = "utf-8"
# What reading a damaged file may raise.
DAMAGES = (EOFError, OSError, zlib.error, lzma.LZMAError)
BUFFER_BYTES = 1 << 20
# How much of a file is looked at. All rules below are about these first bytes.
HEAD_BYTES = 1 << 16
# More invalid characters than this share, and more of them than valid ones beyond ASCII, are text in another encoding.
INVALID_SHARE = 0.001
NUL_SHARE = 0.01
FEW_BYTES = 1024  # a file of fewer may have a few zeros more
# Which bytes of every four are often zero (above this share) in text without a byte-order mark.
ZEROS = 0.05
WITHOUT_MARK = {
    "0101": "utf-16-le",
    "1010": "utf-16-be",
    "0111": "utf-32-le",
    "0011": "utf-32-le",
    "1110": "utf-32-be",
    "1100": "utf-32-be",
}
# Longer marks first: that of UTF-32 begins with that of UTF-16. UTF-8's own mark is removed by the text policy.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
COMPRESSIONS: dict[str, tuple[bytes, Callable[[typing.Any], typing.Any]]] = {
    ".gz": (b"\x1f\x8b", lambda raw: gzip.GzipFile(fileobj=raw)),
    ".bz2": (b"BZh", bz2.BZ2File),
    ".xz": (b"\xfd7zXZ\0", lzma.LZMAFile),
}
NO_TEXT = {
    b"\x28\xb5\x2f\xfd": "compressed with zstd, which is not supported: decompress it, or use gzip, bzip2 or xz",
    b"\x04\x22\x4d\x18": "compressed with LZ4, which is not supported: decompress it, or use gzip, bzip2 or xz",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    b"Rar!\x1a\x07": "a RAR archive: unpack it",
    b"PAR1": "a parquet file: read it as parquet:GLOB, or name it .parquet",
    b"%PDF-": "a PDF file: extract its text",
}


class Form(NamedTuple):
    """What is done to the bytes of a file. If nothing is, it can be read from any byte."""

    decompressed: bool
    converted: bool


def open_text(file: str, begin: int, encoding: str) -> io.BufferedReader:
    """Opens a file at the first line that begins at byte `begin` or later; `begin` is 0 if its bytes are changed.

    Args:
      file: its path.
      begin: see above.
      encoding: of the file; empty: found by the first bytes.

    Raises:
      CorpusError: the first bytes are damaged, or not those of text.
    """
    handle, _ = _open(file, encoding, BUFFER_BYTES)
    if begin:
        handle.seek(begin - 1)
        while (piece := handle.readline(BUFFER_BYTES)) and not piece.endswith(b"\n"):
            pass
    return handle


def open_marked(file: str, convert: Callable[[str], str]) -> io.BufferedReader:
    """Opens a file whose encoding nobody names: UTF-8, or what its byte-order mark says.

    Args:
      file: its path.
      convert: returns what to do about a file in another encoding, by the name of that encoding.

    Raises:
      CorpusError: the first bytes are damaged, not those of text, or those of UTF-16 or UTF-32 without a mark.
    """
    handle, _, head = _start(file, BUFFER_BYTES)
    if name := _marked(head):
        return io.BufferedReader(_Converted(handle, name), BUFFER_BYTES)
    if _has_nuls(head) and (name := _unmarked(head)):
        raise CorpusError(f"{file} looks like {name.upper()} without a byte-order mark: {convert(name)}.")
    return handle


def form(file: str, encoding: str) -> Form:
    """Looks at the first bytes of a file. Arguments and errors are those of `open_text`."""
    handle, found = _open(file, encoding, HEAD_BYTES)
    handle.close()
    return found


def check_encoding(name: str) -> str:
    """Returns the name of an encoding in Python's spelling; empty stays empty.

    Raises:
      CorpusError: Python has no such encoding.
    """
    if not name:
        return ""
    try:
        b"-".decode(name, "replace")  # a codec of another kind, such as hex, is found but cannot decode
        return codecs.lookup(name).name
    except LookupError:
        near = did_you_mean(name.lower(), {*encodings.aliases.aliases, *encodings.aliases.aliases.values()})
        raise CorpusError(f"encoding={name} is no encoding that Python knows.{near}") from None


def _open(file: str, encoding: str, buffer: int) -> tuple[typing.Any, Form]:
    """Opens a file at its beginning."""
    handle, compressed, head = _start(file, buffer)
    encoding = check_encoding(encoding) or _recognise(file, head)
    if encoding != UTF8:
        handle = io.BufferedReader(_Converted(handle, encoding), buffer)
    return handle, Form(compressed, encoding != UTF8)


def _start(file: str, buffer: int) -> tuple[io.BufferedReader, bool, bytes]:
    """Opens the decompressed bytes of a file; whether it was compressed; the first bytes."""
    try:
        handle, compressed = _decompressed(file, buffer)
        head = handle.peek(HEAD_BYTES)[:HEAD_BYTES]
    except DAMAGES as error:
        raise CorpusError(f"{file} is damaged or cannot be read ({error}): restore or remove it.") from error
    check_no_pointer(file, head, CorpusError)
    for magic, what in NO_TEXT.items():
        if head.startswith(magic):
            raise CorpusError(f"{file} is {what}.")
    return handle, compressed, head


def _decompressed(file: str, buffer: int) -> tuple[io.BufferedReader, bool]:
    # epath declares `IO[bytes]`, which lacks the `readinto` that these files have.
    raw: typing.Any = epath.Path(file).open("rb")
    handle = io.BufferedReader(raw, buffer)
    first = handle.peek(8)
    for suffix, (magic, decompress) in COMPRESSIONS.items():
        # A file of the right name but with other bytes is damaged; its reader says how.
        if first.startswith(magic) or (file.endswith(suffix) and first):
            return io.BufferedReader(decompress(handle), buffer), True
    return handle, False


def _recognise(file: str, head: bytes) -> str:
    """The encoding of a file that begins with `head`."""
    if name := _marked(head):
        return name
    if head.isascii() and b"\0" not in head:
        return UTF8
    if _has_nuls(head):
        raise CorpusError(f"{file} {_with_nuls(head)}")
    text = codecs.getincrementaldecoder(UTF8)("replace").decode(head)  # its end may be cut
    invalid = text.count("\ufffd") - head.count("\ufffd".encode())
    valid = sum(character > "\x7f" for character in text) - text.count("\ufffd")
    if invalid > max(valid, INVALID_SHARE * len(text)):
        raise CorpusError(
            f"{file} is not UTF-8: {100 * invalid / len(text):.2g} % of its first characters are invalid. Name its"
            f" encoding in the source, as in text[encoding=cp1252]:GLOB (it would give {as_western(head)!r}), or give"
            " encoding=utf-8 to replace them."
        )
    return UTF8


def _marked(head: bytes) -> str:
    """The encoding that a byte-order mark names; empty if there is no mark, or UTF-8's."""
    return next((name for mark, name in MARKS.items() if head.startswith(mark)), "")


def _has_nuls(head: bytes) -> bool:
    """Whether bytes have more zeros than a text may have."""
    return head.count(0) > NUL_SHARE * max(len(head), FEW_BYTES)


def _unmarked(head: bytes) -> str:
    """The encoding that the places of zeros give away; empty if they do not."""
    zeros = "".join(str(int(head[i::4].count(0) > ZEROS * len(head) / 4)) for i in range(4))
    return WITHOUT_MARK.get(zeros, "")


def _with_nuls(head: bytes) -> str:
    """What is wrong with bytes that have many zeros."""
    if name := _unmarked(head):
        return (
            f"looks like {name.upper()} without a byte-order mark: name its encoding in the source, as in"
            f" text[encoding={name}]:GLOB."
        )
    return "holds binary data, not text: leave it out, or give encoding=utf-8 in its source to read it anyway."


def as_western(head: bytes) -> str:
    """Returns the words around the first invalid byte, read as the most common encoding of the West."""
    try:
        head.decode(UTF8)
    except UnicodeDecodeError as error:
        around = head[max(0, error.start - 24) : error.start + 24].decode("cp1252", "replace")
        return " ".join(around.split())
    return ""


def _mark_invalid(error: UnicodeError) -> tuple[str | bytes, int]:
    # One byte that is not UTF-8 stands for each invalid sequence, so that the text policy replaces and counts it.
    if isinstance(error, UnicodeDecodeError):
        return "\udcff", error.end
    assert isinstance(error, UnicodeEncodeError)
    return b"\xff" * (error.end - error.start), error.end


codecs.register_error("bert_jax.mark_invalid", _mark_invalid)


class _Converted(io.RawIOBase):
    """The UTF-8 form of a stream of bytes in another encoding."""

    def __init__(self, source: io.BufferedReader, encoding: str):
        self._source, self._ready, self._position = source, b"", 0
        self._decoder = codecs.getincrementaldecoder(encoding)("bert_jax.mark_invalid")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: typing.Any) -> int:
        while not self._ready:
            piece = self._source.read(BUFFER_BYTES)
            self._ready = self._decoder.decode(piece, not piece).encode(UTF8, "bert_jax.mark_invalid")
            if not piece:
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        self._position += count
        return count

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._source.close()
        super().close()
