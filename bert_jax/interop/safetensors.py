"""The files of the safetensors format, read and written one tensor at a time.

A file is the length of the header (8 bytes, little-endian), a header in JSON, and the tensors' bytes one after the
other. The header gives each tensor's dtype, shape and range of bytes. Source: github.com/huggingface/safetensors.
"""

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import ml_dtypes
import numpy as np
from etils import epath

from bert_jax import storage
from bert_jax.errors import CheckpointError, quoted
from bert_jax.foreign_files import LFS_POINTER, check_no_pointer, read_small
from bert_jax.interop.tensors import TensorFile, TensorInfo

DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U64": np.dtype(np.uint64),
    "U32": np.dtype(np.uint32),
    "U16": np.dtype(np.uint16),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
MAX_HEADER_BYTES = 50_000_000  # the reference allows 100 MB; BERT-large's header takes 40 kB
MAX_DIMENSIONS = 16
PICKLES = (b"PK\x03\x04", b"\x80")  # PyTorch's are in a zip, older ones begin with their protocol
PICKLE_ADVICE = (
    "which can run code and is never opened: save the model as safetensors, with save_pretrained of a current"
    " transformers."
)
# Weights that are not read, by suffix.
OTHERS = {".h5": "Keras", ".msgpack": "Flax", ".onnx": "ONNX"}
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


class SafetensorsFile:
    """One file, whose header has been checked against its size.

    Raises:
      CheckpointError: it is no file of this format, it is cut short, or its header contradicts itself.
    """

    def __init__(self, path: epath.Path):
        self._path = path
        self._size = path.stat().length
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
            check_no_pointer(path, start, CheckpointError)
            length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0
            if not 2 <= length <= min(self._size - 8, MAX_HEADER_BYTES):
                if start.startswith(PICKLES):
                    raise CheckpointError(f"{path} is a pickle under another name, {PICKLE_ADVICE}")
                raise CheckpointError(
                    f"{path} is not a safetensors file, or is cut short: it has {self._size:,} bytes, but its header"
                    f" would take {length:,}. Download it again."
                )
            file.seek(8)
            header = file.read(length)
        self._data_start = 8 + length
        self._ranges: dict[str, tuple[int, int]] = {}
        self._infos: dict[str, TensorInfo] = {}
        try:
            self._read_header(header)
        except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
            raise CheckpointError(f"{path} has a damaged header ({quoted(str(error))}): download it again.") from None

    def _read_header(self, header: bytes) -> None:
        values = json.loads(header, object_pairs_hook=_no_repeats)
        values.pop("__metadata__", None)
        end = 0
        for name, entry in sorted(values.items(), key=lambda item: item[1]["data_offsets"]):
            shape, (begin, stop) = entry["shape"], entry["data_offsets"]
            if entry["dtype"] not in DTYPES:
                raise ValueError(f"{quoted(name)} has the unknown dtype {quoted(entry['dtype'])}")
            if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and n >= 0 for n in (*shape, begin, stop)):
                raise ValueError(f"{quoted(name)} has the shape {quoted(str(shape))}")
            dtype = DTYPES[entry["dtype"]]
            if begin != end or stop - begin != prod(shape) * dtype.itemsize:
                raise ValueError(f"{quoted(name)} has a range that does not fit its shape or its neighbours")
            end = stop
            self._ranges[name] = (begin, stop)
            self._infos[name] = TensorInfo(tuple(shape), dtype)
        if end != self._size - self._data_start:
            what = "cut short" if end > self._size - self._data_start else "too long"
            raise CheckpointError(
                f"{self._path} is {what}: it has {self._size:,} bytes, but its header says {self._data_start + end:,}."
                " Download it again."
            )

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        return self._infos

    def read(self, name: str) -> np.ndarray:
        info, (begin, _) = self._infos[name], self._ranges[name]
        array = np.empty(info.shape, info.dtype)
        with self._path.open("rb") as file:
            file.seek(self._data_start + begin)
            storage.read_into(file, array, self._path)
        return array


class ShardedSafetensors:
    """Several files, with an index that says which tensor is where.

    A file may be a link, as all are in the cache of Hugging Face's hub, but its name may not leave the folder.

    Raises:
      CheckpointError: the index is damaged or names a file outside of the folder, or a file is missing, damaged, or
        has other tensors than the index says.
    """

    def __init__(self, folder: epath.Path):
        index = folder / INDEX
        try:
            where = json.loads(read_small(index, MAX_HEADER_BYTES, CheckpointError))["weight_map"]
            names = sorted(set(where.values()))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise CheckpointError(f"{index} is damaged: download it again.") from None
        for name in names:
            if "/" in name or "\\" in name or not name.endswith(".safetensors"):
                raise CheckpointError(f"{index} names {quoted(name)}, which is not a safetensors file of its folder.")
            if not (folder / name).exists():
                raise CheckpointError(f"{folder} lacks {quoted(name)}, one of {len(names)} parts: download it.")
        files = {name: SafetensorsFile(folder / name) for name in names}
        self._files = {tensor: files[name] for tensor, name in where.items()}
        for tensor, file in self._files.items():
            if tensor not in file.infos:
                raise CheckpointError(f"{folder / where[tensor]} lacks {quoted(tensor)}: download it again.")
        for name, file in files.items():
            if others := sorted(tensor for tensor in file.infos if where.get(tensor) != name):
                raise CheckpointError(
                    f"{folder / name} has {quoted(others[0])}, but {INDEX} does not say so: download both again."
                )

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        return {name: file.infos[name] for name, file in self._files.items()}

    def read(self, name: str) -> np.ndarray:
        return self._files[name].read(name)


def open_safetensors(folder: epath.Path) -> TensorFile:
    """Opens the weights of a folder, in one file or several.

    Raises:
      CheckpointError: there are none, or they are damaged.
    """
    if (folder / WEIGHTS).exists():
        return SafetensorsFile(folder / WEIGHTS)
    if (folder / INDEX).exists():
        return ShardedSafetensors(folder)
    if pickles := sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".ckpt")):
        raise CheckpointError(f"{folder} has {pickles[0]}, a pickle, {PICKLE_ADVICE}")
    if others := sorted((path.name, OTHERS[path.suffix]) for path in folder.iterdir() if path.suffix in OTHERS):
        name, kind = others[0]
        raise CheckpointError(f"{folder} has {name}, weights for {kind}, which are not read: get {WEIGHTS}.")
    raise CheckpointError(f"There is no {WEIGHTS} in {folder}.")


def write_safetensors(
    path: epath.Path, infos: Mapping[str, TensorInfo], tensors: Iterable[Callable[[], np.ndarray]]
) -> None:
    """Writes a file, tensor by tensor.

    Args:
      path: the file.
      infos: the shape and dtype of each tensor.
      tensors: make the arrays, in the order of `infos`; each is called once, when its turn has come.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers refuses files without it
    end = 0
    for name, info in infos.items():
        begin, end = end, end + prod(info.shape) * info.dtype.itemsize
        header[name] = {"dtype": names[info.dtype], "shape": list(info.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8 bytes
    with storage.replacing(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for info, make in zip(infos.values(), tensors, strict=True):
            array = np.asarray(make(), info.dtype, order="C")
            if array.shape != info.shape:
                raise ValueError(f"shape {array.shape} instead of {info.shape}")
            file.write(array.reshape(-1).view(np.uint8).data)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name occurs twice")
    return values
