"""Files of the format: those of the reference library, and those made to do harm."""

import io
import json
import os
import pickle
import re
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
from etils import epath

from bert_jax.errors import CheckpointError
from bert_jax.interop.safetensors import DTYPES, INDEX, WEIGHTS, SafetensorsFile, open_safetensors, write_safetensors
from bert_jax.interop.tensors import TensorInfo
from tests.quickness import at_once

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.bias": np.arange(3).astype(ml_dtypes.bfloat16),
    "empty": np.zeros((0, 4), np.float16),
    "scalar": np.array(7, np.int64),
}


def write(path, arrays):
    infos = {name: TensorInfo(array.shape, array.dtype) for name, array in arrays.items()}
    write_safetensors(epath.Path(path), infos, [lambda array=array: array for array in arrays.values()])


def crafted(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return epath.Path(path)


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / WEIGHTS, ARRAYS)
    file = open_safetensors(epath.Path(tmp_path))
    assert list(file.infos) == list(ARRAYS)
    for name, array in ARRAYS.items():
        found = file.read(name)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)


def test_the_reference_library_reads_and_writes_the_same(tmp_path):
    reference = pytest.importorskip("safetensors.numpy", reason="compares with safetensors: pip install safetensors")
    plain = {name: array for name, array in ARRAYS.items() if array.dtype != ml_dtypes.bfloat16}
    write(tmp_path / "ours", plain)
    for name, array in reference.load_file(tmp_path / "ours").items():
        np.testing.assert_array_equal(array, plain[name])
    reference.save_file(plain, tmp_path / "theirs")
    file = SafetensorsFile(epath.Path(tmp_path / "theirs"))
    assert file.infos.keys() == plain.keys()
    for name, array in plain.items():
        np.testing.assert_array_equal(file.read(name), array)


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "nothing": b"",
    "seven bytes": b"1234567",
    "a header longer than the file": struct.pack("<Q", 1 << 60) + b"{}",
    "a header of a gigabyte": struct.pack("<Q", 1 << 30) + b"{" + b" " * 64,
    "no header": struct.pack("<Q", 0),
    "text": b"hello world, this is no header at all",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 440449768\n",
    "not JSON": (b"{nonsense", b""),
    "a list": (b"[1, 2, 3]", b""),
    "a number": (b"12345", b""),
    "deep nesting": (b"[" * 100_000, b""),
    "a name twice": (b'{"a":' + json.dumps(F32).encode() + b',"a":' + json.dumps(F32).encode() + b"}", bytes(8)),
    "no dtype": ({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "an unknown dtype": ({"a": F32 | {"dtype": "F128"}}, bytes(8)),
    "a dtype that is a list": ({"a": F32 | {"dtype": ["F32"]}}, bytes(8)),
    "a shape that is too large": ({"a": F32 | {"shape": [1 << 40, 1 << 40]}}, bytes(8)),
    "a negative shape": ({"a": F32 | {"shape": [-2]}}, bytes(8)),
    "a shape of text": ({"a": F32 | {"shape": "2"}}, bytes(8)),
    "a fractional shape": ({"a": F32 | {"shape": [2.0]}}, bytes(8)),
    "a thousand dimensions": ({"a": F32 | {"shape": [1] * 1000 + [2]}}, bytes(8)),
    "offsets past the end": ({"a": F32 | {"data_offsets": [8, 16]}}, bytes(8)),
    "offsets backwards": ({"a": F32 | {"data_offsets": [8, 0]}}, bytes(8)),
    "offsets missing": ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "offsets of text": ({"a": F32 | {"data_offsets": ["0", "8"]}}, bytes(8)),
    "overlapping tensors": ({"a": F32, "b": F32}, bytes(8)),
    "a hole between tensors": ({"a": F32, "b": F32 | {"data_offsets": [12, 20]}}, bytes(20)),
    "bytes that are missing": ({"a": F32}, bytes(7)),
    "bytes behind the end": ({"a": F32}, bytes(9)),
    "an endless name": ({"x" * 100_000: F32 | {"dtype": "?"}}, bytes(8)),
    "control characters": ({"\x1b[2J\n": F32 | {"dtype": "\x1b[31m"}}, bytes(8)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_harmful_file_ends_in_a_sentence_at_once(what, tmp_path):
    content = HOSTILE[what]
    if isinstance(content, bytes):
        (tmp_path / WEIGHTS).write_bytes(content)
    else:
        crafted(tmp_path / WEIGHTS, *content)
    with at_once(), pytest.raises(CheckpointError) as caught:
        open_safetensors(epath.Path(tmp_path))
    message = str(caught.value)
    assert str(tmp_path) in message
    assert len(message) < 500
    assert message.isprintable()
    assert ("git lfs pull" in message) == ("LFS" in what)


def test_a_pickle_is_refused_by_name_and_never_opened(tmp_path):
    """Each of them would make a file."""

    class Touch:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/MARK",)

    plain = pickle.dumps(Touch(), protocol=2)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("archive/data.pkl", plain)
    for content in (plain, zipped.getvalue()):
        for name in ("pytorch_model.bin", WEIGHTS):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(CheckpointError, match=f"{re.escape(name)}.* pickle.* save the model as safetensors"):
                open_safetensors(epath.Path(tmp_path))
            (tmp_path / name).unlink()
    assert not (tmp_path / "MARK").exists()


@pytest.mark.parametrize(
    ("name", "what"), [("tf_model.h5", "Keras"), ("flax_model.msgpack", "Flax"), ("model.onnx", "ONNX")]
)
def test_other_weights_are_refused_by_name(name, what, tmp_path):
    (tmp_path / name).write_bytes(b"1234")
    with pytest.raises(CheckpointError, match=rf"has {name}, weights for {what}, .* model\.safetensors"):
        open_safetensors(epath.Path(tmp_path))


def sharded(folder, where):
    for name in set(where.values()):
        write(folder / name, {tensor: ARRAYS[tensor] for tensor, file in where.items() if file == name})
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return epath.Path(folder)


def test_parts_are_read_as_one(tmp_path):
    file = open_safetensors(sharded(tmp_path, {"b": "1.safetensors", "scalar": "2.safetensors"}))
    assert file.infos["b"] == TensorInfo((2, 3), DTYPES["F32"])
    np.testing.assert_array_equal(file.read("b"), ARRAYS["b"])
    assert file.read("scalar") == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": "../1.safetensors"}, "not a safetensors file of its folder"),
        ({"b": "/etc/passwd"}, "not a safetensors file of its folder"),
        ({"b": "1.bin"}, "not a safetensors file of its folder"),
        ({"b": "3.safetensors"}, r"lacks '3\.safetensors', one of 2 parts"),
        ({"c": "1.safetensors"}, r"1\.safetensors lacks 'c'"),
        ({"b": 5}, "is damaged"),
        ({"b": ["1.safetensors"]}, "is damaged"),
    ],
)
def test_a_lying_index_is_refused(change, message, tmp_path):
    where = {"b": "1.safetensors", "scalar": "2.safetensors"}
    folder = sharded(tmp_path, where)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": where | change}))
    with pytest.raises(CheckpointError, match=message):
        open_safetensors(folder)


@pytest.mark.parametrize("share", [0.05, 0.6, 0.99])
def test_a_part_that_is_cut_is_named_with_its_bytes(share, tmp_path):
    folder = sharded(tmp_path, {"b": "1.safetensors", "scalar": "2.safetensors"})
    content = (tmp_path / "2.safetensors").read_bytes()
    kept = int(share * len(content))
    (tmp_path / "2.safetensors").write_bytes(content[:kept])
    with pytest.raises(CheckpointError, match=rf"2\.safetensors is .*cut short: it has {kept} bytes, "):
        open_safetensors(folder)


@pytest.mark.parametrize("tensor", ["scalar", "other"])
def test_a_tensor_that_the_index_does_not_know_is_named(tensor, tmp_path):
    """It would be lost, or be one of two."""
    folder = sharded(tmp_path, {"b": "1.safetensors", "scalar": "2.safetensors"})
    write(tmp_path / "1.safetensors", {"b": ARRAYS["b"], tensor: ARRAYS["scalar"]})
    with pytest.raises(CheckpointError, match=rf"1\.safetensors has '{tensor}', but .* does not say so"):
        open_safetensors(folder)


def test_links_are_followed_as_in_the_cache_of_the_hub(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    sharded(tmp_path / "blobs", {"b": "1.safetensors"})
    for name in ("1.safetensors", INDEX):
        (tmp_path / "snapshot" / name).symlink_to(f"../blobs/{name}")
    np.testing.assert_array_equal(open_safetensors(epath.Path(tmp_path / "snapshot")).read("b"), ARRAYS["b"])
