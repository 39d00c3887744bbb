"""TensorFlow's checkpoints, the pair `NAME.index` and `NAME.data-00000-of-00001`, read without TensorFlow.

The index is a table of strings: under the empty key stands a header, under each variable's name an entry. Both are
protocol buffers. The tensors are raw bytes in the data files, of which there may be several.
Source: github.com/tensorflow/tensorflow, `core/protobuf/tensor_bundle.proto` and `core/util/tensor_bundle`.
"""

import dataclasses
import struct
from collections.abc import Iterator, Mapping
from math import prod
from typing import IO

import ml_dtypes
import numpy as np
from etils import epath

from bert_jax.errors import CheckpointError, quoted
from bert_jax.foreign_files import LFS_POINTER, check_no_pointer
from bert_jax.interop.crc32c import crc32c, masked
from bert_jax.interop.string_table import read_table, read_varint
from bert_jax.interop.tensors import TensorInfo

# `DataType` in core/framework/types.proto.
DTYPES = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    14: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype(np.uint16),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
STRING = 7
MAX_INDEX_BYTES = 1 << 21  # BERT-large's with its optimiser takes 70 kB
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 16
READ_BYTES = 1 << 23


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A `BundleEntryProto`."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    is_sliced: bool = False


class TensorBundle:
    """The tensors of a checkpoint; a `TensorFile`. The index has been checked against the sizes of the data files.

    Attributes:
      unreadable: variables that are not numbers, or are not stored as one tensor, by name, and what is with them.

    Raises:
      CheckpointError: a file is missing, cut short or damaged, or the index contradicts itself or the files.
    """

    def __init__(self, prefix: epath.Path):
        """Opens `prefix`.index."""
        self._prefix = prefix
        self._entries: dict[str, _Entry] = {}
        self._infos: dict[str, TensorInfo] = {}
        self.unreadable: dict[str, str] = {}
        path = _beside(prefix, ".index")
        content = _index_content(path)
        try:
            self._num_shards = self._read_index(content)
            self._check_ranges()
        except ValueError as error:
            raise CheckpointError(
                f"{path} cannot be read, because {error}: download it again, or save it anew."
            ) from None
        self._check_files()

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        return self._infos

    def read(self, name: str) -> np.ndarray:
        if name in self.unreadable:
            raise CheckpointError(f"{self._prefix} has {quoted(name)}, which {self.unreadable[name]}.")
        info, entry = self._infos[name], self._entries[name]
        path = self._data_file(entry.shard)
        array = np.empty(info.shape, info.dtype)
        with _open(path) as file:
            file.seek(entry.offset)
            checksum = _fill(file, array)
        if masked(checksum) != entry.checksum:
            raise CheckpointError(
                f"{path} is damaged, or has changed: {quoted(name)} does not have its checksum. Download it again."
            )
        return array

    def _read_index(self, content: bytes) -> int:
        """Fills in the entries, and returns the number of data files."""
        table = read_table(content)
        key, value = next(table, (b"", b""))
        if key or not value:
            raise ValueError("it has no header")
        num_shards = _parse_header(value)
        for number, (key, value) in enumerate(table):
            if number == MAX_TENSORS:
                raise ValueError(f"it names more than {MAX_TENSORS:,} tensors")
            if key.startswith(b"\0"):
                continue  # a slice of a variable, which has an entry of its own
            try:
                name = key.decode()
            except UnicodeDecodeError:
                raise ValueError(f"a name is not UTF-8 ({quoted(key)})") from None
            try:
                entry = _parse_entry(value)
                if entry.is_sliced:
                    self.unreadable[name] = (
                        "is stored in slices (a partitioned variable): save it without a partitioner first"
                    )
                elif entry.dtype not in DTYPES:
                    kind = "strings" if entry.dtype == STRING else f"the dtype {entry.dtype} of TensorFlow"
                    self.unreadable[name] = f"holds {kind}, not numbers of a supported dtype"
                elif 0 in entry.shape:
                    self.unreadable[name] = f"is empty, of the shape {list(entry.shape)}"
                else:
                    self._infos[name] = _info(entry)
                    self._entries[name] = entry
            except ValueError as error:
                raise ValueError(f"the entry {quoted(name)} is damaged ({error})") from None
        return num_shards

    def _check_ranges(self) -> None:
        """Checks that no two tensors share bytes."""
        before = None
        for name, entry in sorted(self._entries.items(), key=lambda item: (item[1].shard, item[1].offset)):
            if entry.shard >= self._num_shards:
                raise ValueError(f"{quoted(name)} is in file {entry.shard} of {self._num_shards}")
            if before is not None and before.shard == entry.shard and before.offset + before.size > entry.offset:
                raise ValueError(f"{quoted(name)} shares bytes with another tensor")
            before = entry

    def _check_files(self) -> None:
        ends: dict[int, int] = {}
        for entry in self._entries.values():
            ends[entry.shard] = max(ends.get(entry.shard, 0), entry.offset + entry.size)
        for shard, end in ends.items():
            path = self._data_file(shard)
            try:
                size = path.stat().length
            except OSError:
                raise CheckpointError(
                    f"{path} is missing, one of {self._num_shards} data files: download it."
                ) from None
            if size < end:
                with _open(path) as file:
                    check_no_pointer(path, file.read(len(LFS_POINTER)), CheckpointError)
                raise CheckpointError(
                    f"{path} is cut short: it has {size:,} bytes, but the index asks for {end:,}. Download it again."
                )

    def _data_file(self, shard: int) -> epath.Path:
        return _beside(self._prefix, f".data-{shard:05d}-of-{self._num_shards:05d}")


def _beside(prefix: epath.Path, ending: str) -> epath.Path:
    return prefix.parent / f"{prefix.name}{ending}"


def _open(path: epath.Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened ({error.strerror}): check the folder.") from None


def _index_content(path: epath.Path) -> bytes:
    with _open(path) as file:
        content = file.read(MAX_INDEX_BYTES + 1)
    check_no_pointer(path, content, CheckpointError)
    if len(content) > MAX_INDEX_BYTES:
        raise CheckpointError(
            f"{path} has more than {MAX_INDEX_BYTES:,} bytes, which is no index of a BERT: check the file."
        )
    return content


def _fill(file: IO[bytes], array: np.ndarray) -> int:
    """Fills the array with the next bytes of the file, as far as there are any, and returns their checksum."""
    target, done, checksum = memoryview(array.reshape(-1).view(np.uint8).data), 0, 0
    while piece := file.read(min(len(target) - done, READ_BYTES)):
        target[done : done + len(piece)] = piece
        done += len(piece)
        checksum = crc32c(piece, checksum)
    return checksum


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields the number and the value of each field of a protocol buffer."""
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = read_varint(message, at)
        elif kind == 5:
            if at + 4 > len(message):
                raise ValueError("a field is cut short")
            (value,) = struct.unpack_from("<I", message, at)
            at += 4
        elif kind == 2:
            size, at = read_varint(message, at)
            if at + size > len(message):
                raise ValueError("a field is cut short")
            value = message[at : at + size]
            at += size
        else:
            raise ValueError(f"a field has the unknown kind {kind}")
        yield tag >> 3, value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("it has bytes in place of a number")
    return value


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("it has a number in place of a message")
    return value


def _parse_header(message: bytes) -> int:
    """Reads a `BundleHeaderProto`, and returns the number of data files."""
    num_shards = 0
    for field, value in _fields(message):
        if field == 1:
            num_shards = _number(value)
        elif field == 2 and value != 0:
            raise ValueError("it was written on a big-endian machine, which is not supported")
        elif field == 3 and dict(_fields(_message(value))).get(2, 0) not in (0, 1):
            raise ValueError("it has a format newer than the one that is known")
    return num_shards


def _parse_entry(message: bytes) -> _Entry:
    values: dict[int, int] = {}
    shape, is_sliced = (), False
    for field, value in _fields(message):
        if field == 2:
            shape = _parse_shape(_message(value))
        elif field == 7:
            is_sliced = True
        elif field <= 6:
            values[field] = _number(value)
    return _Entry(
        values.get(1, 0), shape, values.get(3, 0), values.get(4, 0), values.get(5, 0), values.get(6, 0), is_sliced
    )


def _parse_shape(message: bytes) -> tuple[int, ...]:
    """Reads a `TensorShapeProto`."""
    sizes = []
    for field, value in _fields(message):
        if field == 2:
            sizes.append(sum(_number(size) for part, size in _fields(_message(value)) if part == 1))
        elif value:
            raise ValueError("it has a shape that is not known")
        if len(sizes) > MAX_DIMENSIONS:
            raise ValueError(f"it has more than {MAX_DIMENSIONS} dimensions")
    return tuple(sizes)


def _info(entry: _Entry) -> TensorInfo:
    dtype = DTYPES[entry.dtype]
    if prod(entry.shape) * dtype.itemsize != entry.size:
        raise ValueError(f"it has the shape {list(entry.shape)} of {dtype}, but takes {entry.size:,} bytes")
    return TensorInfo(entry.shape, dtype)
