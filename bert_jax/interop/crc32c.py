"""CRC-32C, the checksum of TensorFlow's files, at about a gigabyte a second in NumPy.

A register of 32 bits is XORed with each byte and then shifted, which is linear: what a word adds to the result does not
depend on the words around it. So a long text is taken in rows of words, each place of a row has a register of its own,
and one step shifts all registers over a whole row by looking up their two halves. What the registers hold at the end
has the checksum of the whole text. Polynomial and masking: RFC 3720 and github.com/google/leveldb, `util/crc32c.h`.
"""

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78  # bits reversed
ROW_WORDS = 4096  # a power of 2: the last row is read byte by byte, and short rows cost calls
ROW_BYTES = 4 * ROW_WORDS


def crc32c(content: bytes, before: int = 0) -> int:
    """Returns the checksum of `content`, or, with the checksum of what comes before it, that of both together."""
    register = before ^ 0xFFFFFFFF
    rows = np.frombuffer(content, "<u4", len(content) // ROW_BYTES * ROW_WORDS).reshape(-1, ROW_WORDS)
    if len(rows) > 1:
        register = _bytewise(_folded(rows, register).tobytes(), 0)
        content = content[rows.nbytes :]
    return _bytewise(content, register) ^ 0xFFFFFFFF


def masked(checksum: int) -> int:
    """Returns a checksum as it is stored, changed so that a text with its checksum inside can have one too."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _bytewise(content: bytes, register: int) -> int:
    table = _byte_table().tolist()
    for byte in content:
        register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register


def _folded(rows: np.ndarray, register: int) -> np.ndarray:
    """Returns a row with the same effect on an empty register as all rows have on `register`."""
    low, high = _row_tables()
    sums = rows[0].astype(np.uint32)
    sums[0] ^= register
    from_low, from_high = np.empty_like(sums), np.empty_like(sums)
    for row in rows[1:]:
        halves = sums.view(np.uint16)
        low.take(halves[0::2], out=from_low, mode="clip")  # clip only because other modes copy `out`
        high.take(halves[1::2], out=from_high, mode="clip")
        np.bitwise_xor(from_low, from_high, out=sums)
        sums ^= row
    return sums


@functools.cache
def _byte_table() -> np.ndarray:
    """What each byte becomes when it is shifted out."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(POLYNOMIAL), table >> 1)
    return table


@functools.cache
def _row_tables() -> tuple[np.ndarray, np.ndarray]:
    """What each low and each high half of a register becomes over a row of zeros."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    step = _byte_table()[bits & 0xFF] ^ bits >> 8  # over one byte
    for _ in range(ROW_BYTES.bit_length() - 1):
        step = _product(step, step)
    halves = np.arange(1 << 16, dtype=np.uint32)
    return _product(step, halves), _product(step, halves << 16)


def _product(step: np.ndarray, registers: np.ndarray) -> np.ndarray:
    """Applies a linear map, given by what each bit becomes, to many registers."""
    result = np.zeros_like(registers)
    for bit in range(32):
        result ^= (registers >> bit & 1) * step[bit]
    return result
