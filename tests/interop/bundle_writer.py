"""Writes TensorFlow's checkpoints as the format's sources say, also such as no TensorFlow would write."""

import dataclasses
import struct

from bert_jax.interop.crc32c import crc32c, masked

MAGIC = 0xDB4775248B80FB57
TYPES = {"float32": 1, "int64": 9, "string": 7, "complex64": 8, "float16": 19, "bfloat16": 14}


def varint(number):
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def header(shards=1, endianness=0, min_consumer=0):
    return field(1, shards) + field(2, endianness) + field(3, field(1, 1) + field(2, min_consumer))


@dataclasses.dataclass
class Entry:
    shape: tuple = ()
    offset: int = 0
    size: int = 4
    checksum: int = 0
    dtype: int = 1
    shard: int = 0
    more: bytes = b""

    def encoded(self):
        shape = b"".join(field(2, field(1, size)) for size in self.shape)
        checksum = varint(6 << 3 | 5) + struct.pack("<I", self.checksum)
        numbers = field(3, self.shard) + field(4, self.offset) + field(5, self.size)
        return field(1, self.dtype) + field(2, shape) + numbers + checksum + self.more


def block(pairs, restarts=1):
    """A block without its trailer; keys are written as what they do not share with the previous one."""
    found, previous = b"", b""
    for key, value in pairs:
        shared = 0
        while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
            shared += 1
        found += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    return found + bytes(4) + struct.pack("<I", restarts)


def with_trailer(content, compression=0):
    content += bytes([compression])
    return content + struct.pack("<I", masked(crc32c(content)))


def handle(offset, size):
    return varint(offset) + varint(size)


def table(blocks, compression=0, handles=None, lasts=None):
    """A table of blocks without trailers; `handles` instead of those where the blocks are, `lasts` their last keys."""
    content, places = b"", []
    for one in blocks:
        places.append(handle(len(content), len(one)))
        content += with_trailer(one, compression)
    places = handles or places
    meta, index = block([]), block(list(zip(lasts or [b"%06d" % i for i in range(len(places))], places, strict=True)))
    start = len(content)
    content += with_trailer(meta) + with_trailer(index)
    footer = handle(start, len(meta)) + handle(start + len(meta) + 5, len(index))
    return content + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def index(entries, head=None, blocks=1):
    """A whole index; `entries` are `Entry` or bytes by name, and sorted."""
    pairs = [(b"", header() if head is None else head)]
    pairs += [(key, one if isinstance(one, bytes) else one.encoded()) for key, one in sorted(entries.items())]
    size = -(-len(pairs) // blocks)
    parts = [pairs[at : at + size] for at in range(0, len(pairs), size)]
    return table([block(part) for part in parts], lasts=[part[-1][0] for part in parts])


def write(prefix, arrays, head=None):
    """Writes arrays by name."""
    entries, offset = {}, 0
    with open(f"{prefix}.data-00000-of-00001", "wb") as file:
        for name, array in arrays.items():
            content = array.tobytes()
            file.write(content)
            kind = TYPES[array.dtype.name]
            entries[name.encode()] = Entry(array.shape, offset, len(content), masked(crc32c(content)), kind)
            offset += len(content)
    with open(f"{prefix}.index", "wb") as file:
        file.write(index(entries, head))
