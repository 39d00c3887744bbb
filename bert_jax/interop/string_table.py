"""The sorted tables of strings that TensorFlow's checkpoints have for an index; a table of LevelDB's with other limits.

A table is a series of blocks, then a block that says where they are, then a footer that says where that one is. A block
is entries (length shared with the previous key, length of the rest, length of the value, rest of the key, value), then
positions for a binary search, which reading in order does not need; behind it stand a byte for its compression and a
checksum. Source: github.com/google/leveldb, `doc/table_format.md`.
"""

import struct
from collections.abc import Iterator

from bert_jax.interop.crc32c import crc32c, masked

FOOTER_BYTES = 48  # two handles of at most 20 bytes, padded, and the magic number
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
TRAILER_BYTES = 5  # compression, checksum
COMPRESSIONS = {1: "Snappy", 2: "Zstandard"}
MAX_KEY_BYTES = 1000  # of BERT's variables: about 100; a short entry may repeat a long key


def read_table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys, which increase, and values of a table.

    Every block is read once at most, so that the time is bounded by the number of bytes.

    Raises:
      ValueError: it is no such table, it is damaged, or it is compressed.
    """
    if len(content) < FOOTER_BYTES or not content.endswith(MAGIC):
        raise ValueError("it does not end as an index does (it is cut short, or another file)")
    footer = content[-FOOTER_BYTES : -len(MAGIC)]
    _, _, at = _handle(footer, 0)  # of a block about the blocks, which TensorFlow leaves empty
    offset, size, _ = _handle(footer, at)
    index = _block(content, offset, size)
    free, previous = 0, None
    for _, handle in _entries(index):
        offset, size, _ = _handle(handle, 0)
        if offset < free:
            raise ValueError("its blocks overlap")
        free = offset + size + TRAILER_BYTES
        for key, value in _entries(_block(content, offset, size)):
            if previous is not None and key <= previous:
                raise ValueError("its keys do not increase")
            yield key, value
            previous = key


def read_varint(content: bytes, at: int) -> tuple[int, int]:
    """Returns a number below 2^64 that has 7 bits in each byte, lowest first, and the position behind it.

    Raises:
      ValueError: it has more bits, or the bytes end before it does.
    """
    result = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        byte = content[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80 and result < 1 << 64:
            return result, at
    raise ValueError("a number in it is cut short or too large")


def _handle(content: bytes, at: int) -> tuple[int, int, int]:
    """Returns offset and size of a block, and the position behind them."""
    offset, at = read_varint(content, at)
    size, at = read_varint(content, at)
    return offset, size, at


def _block(content: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + TRAILER_BYTES > len(content) - FOOTER_BYTES:
        raise ValueError("a block lies beyond its end")
    (checksum,) = struct.unpack_from("<I", content, end + 1)
    if masked(crc32c(content[offset : end + 1])) != checksum:
        raise ValueError("a block does not have its checksum")
    if compression := content[end]:
        raise ValueError(f"a block is compressed with {COMPRESSIONS.get(compression, compression)}, which is not read")
    return content[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = struct.unpack("<I", block[-4:])[0] if len(block) >= 4 else len(block)
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise ValueError("a block is too short")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        rest, at = read_varint(block, at)
        size, at = read_varint(block, at)
        if shared > len(key) or at + rest + size > end:
            raise ValueError("an entry lies beyond its block")
        if shared + rest > MAX_KEY_BYTES:
            raise ValueError(f"a name has {shared + rest:,} bytes, more than {MAX_KEY_BYTES:,}")
        key = key[:shared] + block[at : at + rest]
        at += rest + size
        yield key, block[at - size : at]
