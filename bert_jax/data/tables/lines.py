"""The lines of a text file, checked: UTF-8 without NUL, and not endless."""

import os
import re
from collections.abc import Iterator

from bert_jax.data.tables.record import ROW_BYTES, too_long
from bert_jax.errors import CorpusError
from bert_jax.files import opening
from bert_jax.files.damage import damaged

PIECE_BYTES = 1 << 20


def lines(file: str) -> Iterator[tuple[int, str]]:
    """Yields the lines of a file, empty ones included, with their numbers, counted from 1, and without their ends.

    Lines end in LF or CRLF; in CR, if the first 64 KiB have no LF. Compression and byte-order marks are recognised by
    the first bytes, whatever the name. One line and one piece of the file are held in memory.

    Raises:
      CorpusError: the file is damaged or no text; a line is not UTF-8, holds a NUL byte or is too long.
    """

    def convert(encoding: str) -> str:
        return f"convert it, as in {conversion(file, encoding)}"

    number = 0
    with opening.open_marked(file, convert) as handle:
        try:
            for number, raw in enumerate(_split(handle), 1):
                yield number, _decode(raw, file, number)
        except opening.DAMAGES as error:
            raise damaged(file, error, f" after line {number}") from error


def _split(handle) -> Iterator[bytes]:
    head = handle.peek(opening.HEAD_BYTES)[: opening.HEAD_BYTES]
    end = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
    rest = b""
    while piece := handle.read(PIECE_BYTES):
        *whole, rest = (rest + piece).split(end)
        yield from whole
        if len(rest) > ROW_BYTES:
            yield rest  # which is too long already
            return
    if rest:
        yield rest


def _decode(raw: bytes, file: str, number: int) -> str:
    where = f"{file}, line {number}"
    if len(raw) > ROW_BYTES:
        raise too_long(where, "divide or remove it, or check what the file is")
    if b"\0" in raw:
        raise CorpusError(f"{where} holds a NUL byte, which no text has: remove it, or restore the file.")
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{where} is not UTF-8 (byte 0x{raw[error.start]:02x}): convert the file, as in"
            f" {conversion(file, 'cp1252')} if {opening.as_western(raw)!r} looks right."
        ) from None
    return text.removesuffix("\r")


def conversion(file: str, encoding: str) -> str:
    """Returns a command that writes a file in UTF-8."""
    name = os.path.basename(file)
    stem = re.sub(r"\.(gz|bz2|xz)$", "", name)
    read = f"iconv -f {encoding} -t utf-8"
    return f"`{read} {name} > utf8_{name}`" if stem == name else f"`zcat -f {name} | {read} > utf8_{stem}`"
