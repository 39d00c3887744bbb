"""TensorFlow's checkpoints: those that TensorFlow wrote, and damaged, lying and unusual ones."""

import pathlib
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from etils import epath

from bert_jax.errors import CheckpointError
from bert_jax.interop.crc32c import crc32c, masked
from bert_jax.interop.tensor_bundle import TensorBundle
from bert_jax.interop.tensors import TensorInfo
from tests.interop import bundle_writer as writer
from tests.interop.bundle_writer import Entry
from tests.interop.google_model import SIZE, WORDS, value
from tests.quickness import at_once

GOLDEN = epath.Path(__file__).parents[1] / "golden" / "google"
TABLE = "bert/embeddings/word_embeddings"


def test_what_tensorflow_wrote_is_read():
    bundle = TensorBundle(GOLDEN / "released" / "bert_model.ckpt")
    assert bundle.infos[TABLE] == TensorInfo((WORDS, SIZE), np.dtype(np.float32))
    assert bundle.infos["global_step"] == TensorInfo((), np.dtype(np.int64))
    assert len(bundle.infos) == 46 + 2 * 8 + 1
    for name, info in bundle.infos.items():
        if name != "global_step":
            np.testing.assert_array_equal(bundle.read(name), value(name, info.shape), err_msg=name)
    assert bundle.read("global_step") == 0
    table = bundle.read(TABLE)
    table[:] = 0  # an array of its own
    assert bundle.read(TABLE).any()


def test_several_data_files_and_half_precision():
    bundle = TensorBundle(GOLDEN / "fine_tuned" / "model.ckpt-3")
    for layer, dtype in enumerate((ml_dtypes.bfloat16, np.float16)):
        name = f"bert/encoder/layer_{layer}/intermediate/dense/kernel"
        assert bundle.infos[name].dtype == dtype
        np.testing.assert_array_equal(bundle.read(name), value(name, (8, 12)).astype(dtype))


def test_slices_and_strings_are_told_when_they_are_asked_for():
    bundle = TensorBundle(GOLDEN / "partitioned" / "bert_model.ckpt")
    assert not bundle.infos
    with pytest.raises(CheckpointError, match=r"'bert/embeddings/word_embeddings', which is stored in slices"):
        bundle.read(TABLE)
    bundle = TensorBundle(GOLDEN / "pretrainer" / "bert_model.ckpt")
    with pytest.raises(CheckpointError, match="holds strings"):
        bundle.read("_CHECKPOINTABLE_OBJECT_GRAPH")


def test_blocks_that_share_nothing_and_names_that_share_much(tmp_path):
    arrays = {f"scope/of/many/variables_{i:03d}": np.full((i % 3 + 1, 2), i, np.float32) for i in range(300)}
    prefix = tmp_path / "model"
    writer.write(prefix, arrays)
    content = (tmp_path / "model.index").read_bytes()
    entries, offset = {}, 0
    for name, array in arrays.items():
        checksum = masked(crc32c(array.tobytes()))
        entries[name.encode()] = Entry(array.shape, offset, array.nbytes, checksum)
        offset += array.nbytes
    for blocks in (1, 7, 301):
        (tmp_path / "model.index").write_bytes(writer.index(entries, blocks=blocks))
        bundle = TensorBundle(epath.Path(prefix))
        assert list(bundle.infos) == list(arrays)
        for name in list(arrays)[::50]:
            np.testing.assert_array_equal(bundle.read(name), arrays[name])
    assert writer.index(entries) == content


def test_a_tensor_larger_than_a_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("bert_jax.interop.tensor_bundle.READ_BYTES", 1000)
    array = np.random.default_rng(0).normal(size=(50, 77)).astype(np.float32)
    writer.write(tmp_path / "model", {"a": np.ones(3, np.float32), "b": array})
    np.testing.assert_array_equal(TensorBundle(epath.Path(tmp_path / "model")).read("b"), array)


def test_no_damaged_bit_of_an_index_changes_what_is_read(tmp_path):
    """Each is refused, but those of the padding and of what TensorFlow leaves empty."""
    writer.write(tmp_path / "model", {"a": np.ones(3, np.float32), "b": np.ones(2, np.float32)})
    path = tmp_path / "model.index"
    content, accepted = path.read_bytes(), 0
    infos = TensorBundle(epath.Path(tmp_path / "model")).infos
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        try:
            found = TensorBundle(epath.Path(tmp_path / "model"))
        except CheckpointError:
            continue
        accepted += 1
        assert found.infos == infos
        np.testing.assert_array_equal(found.read("b"), np.ones(2))
    assert accepted <= 40 + 13  # of the footer's handles; the empty block


def test_damaged_numbers_are_seen_when_they_are_read(tmp_path):
    prefix = tmp_path / "model"
    writer.write(prefix, {"a": np.ones(3, np.float32), "b": np.ones(2, np.float32)})
    path = pathlib.Path(f"{prefix}.data-00000-of-00001")
    content = bytearray(path.read_bytes())
    content[13] ^= 1
    path.write_bytes(content)
    bundle = TensorBundle(epath.Path(prefix))
    bundle.read("a")
    with pytest.raises(CheckpointError, match=r"data-00000-of-00001 is damaged, or has changed: 'b' does not have"):
        bundle.read("b")
    path.write_bytes(content[:15])
    with pytest.raises(CheckpointError, match="damaged, or has changed"):
        bundle.read("b")


ONE = {b"a": Entry((1,), 0, 4)}
LONG = b"x" * 900
HOSTILE = {
    "empty": (lambda: b"", "cut short, or another file"),
    "half": (lambda: writer.index(ONE)[:60], "cut short, or another file"),
    "noise": (lambda: np.random.default_rng(0).bytes(10_000), "cut short, or another file"),
    "only a footer": (lambda: writer.index(ONE)[-48:], "a block lies beyond its end"),
    "Git LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
    "too large": (lambda: bytes(3_000_000), "more than 2,097,152 bytes"),
    "Snappy": (lambda: writer.table([writer.block([(b"", writer.header())])], 1), "compressed with Snappy"),
    "no entries": (lambda: writer.table([]), "has no header"),
    "no header": (lambda: writer.table([writer.block([(b"a", Entry((1,)).encoded())])]), "has no header"),
    "big-endian": (lambda: writer.index(ONE, writer.header(endianness=1)), "big-endian"),
    "newer": (lambda: writer.index(ONE, writer.header(min_consumer=2)), "newer than the one that is known"),
    "header of noise": (lambda: writer.index(ONE, b"\xff" * 30), "cut short or too large"),
    "huge shape": (lambda: writer.index({b"a": Entry((1 << 40, 1 << 40), 0, 4)}), "has the shape .* but takes 4 bytes"),
    "huge tensor": (lambda: writer.index({b"a": Entry((1 << 40,), 0, 1 << 42)}), "has 4 bytes, but the index asks for"),
    "huge offset": (lambda: writer.index({b"a": Entry((1,), 1 << 63, 4)}), "has 4 bytes, but the index asks for"),
    "negative shape": (lambda: writer.index({b"a": Entry((-1,), 0, 4)}), "has the shape"),
    "negative size": (lambda: writer.index({b"a": Entry((1,), 0, -4)}), "has the shape"),
    "many dimensions": (lambda: writer.index({b"a": Entry((1,) * 100_000, 0, 4)}), "more than 16 dimensions"),
    "unknown rank": (
        lambda: writer.index({b"a": writer.field(1, 1) + writer.field(2, writer.field(3, 1))}),
        "a shape that is not known",
    ),
    "shape is a number": (
        lambda: writer.index({b"a": writer.field(1, 1) + writer.field(2, 7)}),
        "number in place of a mess",
    ),
    "size is bytes": (
        lambda: writer.index({b"a": writer.field(1, 1) + writer.field(5, b"abc")}),
        "bytes in place of a number",
    ),
    "entry cut short": (lambda: writer.index({b"a": Entry((1,)).encoded()[:-2]}), "a field is cut short"),
    "field too long": (
        lambda: writer.index({b"a": writer.varint(2 << 3 | 2) + writer.varint(1 << 60)}),
        "a field is cut short",
    ),
    "groups": (lambda: writer.index({b"a": writer.varint(2 << 3 | 3) * 1000}), "the unknown kind 3"),
    "endless number": (lambda: writer.index({b"a": b"\x08" + b"\x80" * 100_000}), "cut short or too large"),
    "many fields": (lambda: writer.index({b"a": writer.field(1, 1) * 500_000}), "but takes 0 bytes"),
    "overlap": (
        lambda: writer.index({b"a": Entry((1,), 0, 4), b"b": Entry((1,), 2, 4)}),
        "'b' shares bytes with another tensor",
    ),
    "shard beyond": (lambda: writer.index({b"a": Entry((1,), shard=1)}), "'a' is in file 1 of 1"),
    "huge shard": (
        lambda: writer.index({b"a": Entry((1,), shard=1 << 62)}, writer.header(1 << 63)),
        "is missing, one of",
    ),
    "many tensors": (
        lambda: writer.index({b"%05d" % i: Entry((1,), 4 * i) for i in range(25_000)}),
        "more than 20,000",
    ),
    "long name": (lambda: writer.index({b"x" * 100_000: Entry((1,))}), "a name has 100,000 bytes"),
    "names that grow": (
        # Each entry repeats the name before it: 2,000 names of 900 bytes in a small file.
        lambda: writer.index({LONG + b"%05d" % i: Entry((1,), 2 * i) for i in range(2_000)}),
        "shares bytes with another",
    ),
    "not UTF-8": (lambda: writer.index({b"a\xff": Entry((1,))}), "a name is not UTF-8"),
    "control characters": (lambda: writer.index({b"a\x1b[2Jb\nc": Entry((7,))}), r"'a\\x1b\[2Jb\\nc' is damaged"),
    "twice": (
        lambda: writer.table(
            [writer.block([(b"", writer.header()), (b"a", Entry((1,)).encoded()), (b"a", Entry((1,)).encoded())])]
        ),
        "its keys do not increase",
    ),
    "circle": (
        lambda: writer.table([writer.block([(b"", writer.header())])], handles=[writer.handle(0, 30)] * 50_000),
        "checksum|overlap",
    ),
    "same block again": (
        lambda: writer.table(
            [writer.block([(b"", writer.header())], restarts=1)],
            handles=[writer.handle(0, len(writer.block([(b"", writer.header())])))] * 50_000,
        ),
        "its blocks overlap",
    ),
    "block beyond": (
        lambda: writer.table([], handles=[writer.handle(1 << 62, 1 << 62)]),
        "a block lies beyond its end",
    ),
    "restarts": (
        lambda: writer.table([writer.block([(b"", writer.header())], restarts=1 << 31)]),
        "a block is too short",
    ),
    "block of nothing": (lambda: writer.table([b""]), "a block is too short"),
    "shares what is not there": (
        lambda: writer.table([writer.varint(5) + writer.varint(0) + writer.varint(0) + bytes(4) + b"\1\0\0\0"]),
        "an entry lies beyond its block",
    ),
    "value beyond": (
        lambda: writer.table([writer.varint(0) + writer.varint(0) + writer.varint(1 << 40) + bytes(4) + b"\1\0\0\0"]),
        "an entry lies beyond its block",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_indexes_are_refused_at_once(case, tmp_path):
    make, reason = HOSTILE[case]
    (tmp_path / "model.index").write_bytes(make())
    (tmp_path / "model.data-00000-of-00001").write_bytes(bytes(4))
    crc32c(bytes(1 << 16))  # makes its tables
    with at_once(), pytest.raises(CheckpointError, match=reason) as refusal:
        TensorBundle(epath.Path(tmp_path / "model"))
    message = str(refusal.value)
    assert message.startswith(str(tmp_path))
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize(
    "case",
    ["huge shape", "huge tensor", "many dimensions", "long name", "names that grow", "same block again"],
)
def test_hostile_indexes_take_little_memory(case, tmp_path):
    (tmp_path / "model.index").write_bytes(HOSTILE[case][0]())
    (tmp_path / "model.data-00000-of-00001").write_bytes(bytes(4))
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        TensorBundle(epath.Path(tmp_path / "model"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "model.data-00000-of-00001 is missing, one of 1 data files: download it."),
        (bytes(3), "model.data-00000-of-00001 is cut short: it has 3 bytes, but the index asks for 4."),
        (b"version https://git-lfs.github.com/spec/v1\n", "model.data-00000-of-00001 is a Git LFS pointer"),
    ],
)
def test_data_files_that_are_not_there(content, reason, tmp_path):
    size = 4 if content is None or len(content) < 4 else 400
    (tmp_path / "model.index").write_bytes(writer.index({b"a": Entry((size // 4,), 0, size)}))
    if content is not None:
        (tmp_path / "model.data-00000-of-00001").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        TensorBundle(epath.Path(tmp_path / "model"))


def test_a_missing_index_and_a_folder_in_its_place(tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.index cannot be opened"):
        TensorBundle(epath.Path(tmp_path / "model"))
    (tmp_path / "model.index").mkdir()
    with pytest.raises(CheckpointError, match=r"model\.index cannot be opened"):
        TensorBundle(epath.Path(tmp_path / "model"))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (Entry((1,), dtype=8), "holds the dtype 8 of TensorFlow"),
        (Entry((1,), dtype=1 << 40), "holds the dtype 1099511627776"),
        (Entry((0, 1 << 62), size=0), "is empty"),
        (Entry((1,), more=writer.field(7, b"")), "is stored in slices"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_when_it_is_asked_for(entry, reason, tmp_path):
    (tmp_path / "model.index").write_bytes(writer.index({b"a": entry}))
    bundle = TensorBundle(epath.Path(tmp_path / "model"))
    assert not bundle.infos
    with pytest.raises(CheckpointError, match=reason):
        bundle.read("a")
