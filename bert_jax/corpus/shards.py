"""The exchange form of a corpus: ArrayRecord shards with TFDS metadata, one record per document.

`tfds.builder_from_directory(corpus)` opens it without TensorFlow. Training does not read it, but the memory-mapped
index that is derived from it (`index.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from etils import epath

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

DATASET = "corpus"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


def features() -> tfds.features.FeaturesDict:
    """The TFDS features of a record. Token ids and sentence lengths (in tokens) are int32 [n]."""
    import tensorflow_datasets as tfds  # needed for building and rebuilding, but not for training

    integers = tfds.features.Tensor(shape=(None,), dtype=np.int32, encoding=tfds.features.Encoding.BYTES)
    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "source": tfds.features.Scalar(dtype=np.int32),
            "token_ids": integers,
            "sentence_lengths": integers,
        }
    )


class Writer:
    """Writes one shard, a record at a time. A context manager. Raises OSError if the disk is full."""

    def __init__(self, path: epath.PathLike):
        from array_record.python import array_record_module
        from tensorflow_datasets.proto import tf_example_pb2

        self._message = tf_example_pb2.Example  # pyrefly: ignore[missing-attribute]  # protobuf makes it at run time
        # Random access is fast only with one record per group.
        self._writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")

    def write(self, identifier: str, source: int, token_ids: np.ndarray, sentence_lengths: np.ndarray) -> None:
        """Appends a document: the bytes that TFDS would make of its `features`, but five times as fast."""
        example = self._message()
        feature = example.features.feature
        feature["id"].bytes_list.value.append(identifier.encode())
        feature["source"].int64_list.value.append(source)
        feature["token_ids"].bytes_list.value.append(token_ids.astype("<i4", copy=False).tobytes())
        feature["sentence_lengths"].bytes_list.value.append(sentence_lengths.astype("<i4", copy=False).tobytes())
        # Otherwise the fields come in the order of a hash table, which differs between processes.
        record = example.SerializeToString(deterministic=True)
        with _os_errors():
            self._writer.write(record)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with _os_errors():
            self._writer.close()


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # ArrayRecord's
        raise OSError(str(error).partition(";")[0]) from error


def read(path: epath.PathLike) -> Iterator[dict]:
    """Yields the records of one shard in order: `id`, `source`, and int32 [n] `token_ids` and `sentence_lengths`."""
    from array_record.python import array_record_module
    from tensorflow_datasets.proto import tf_example_pb2

    reader = array_record_module.ArrayRecordReader(str(path))
    total = reader.num_records()
    for start in range(0, total, 64):
        for record in reader.read(start, min(start + 64, total)):
            # pyrefly: ignore[missing-attribute]  # protobuf makes `Example` at run time
            feature = tf_example_pb2.Example.FromString(record).features.feature
            arrays = {
                key: np.frombuffer(feature[key].bytes_list.value[0], "<i4") for key in ("token_ids", "sentence_lengths")
            }
            yield arrays | {
                "id": feature["id"].bytes_list.value[0].decode(),
                "source": feature["source"].int64_list.value[0],
            }
    reader.close()


def shard_name(split: str, index: int, count: int) -> str:
    """The file name of a shard, as TFDS expects it."""
    return f"{DATASET}-{split}.array_record-{index:05d}-of-{count:05d}"


def write_metadata(directory: epath.PathLike, shards: dict[str, list[dict]]) -> None:
    """Writes the metadata that make a folder of shards a TFDS data set.

    Args:
      directory: the folder of the corpus.
      shards: the shards of each split in order, as {"records": int, "bytes": int}.
    """
    import tensorflow_datasets as tfds

    splits = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard["records"] for shard in rows],
            num_bytes=sum(shard["bytes"] for shard in rows),
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=str(directory),
                template=TEMPLATE,
                dataset_name=DATASET,
                split=split,
                filetype_suffix="array_record",
            ),
        )
        for split, rows in shards.items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=str(directory),
        features=features(),
        split_infos=splits,
        filename_template=TEMPLATE,
        description="Tokenised documents with sentence boundaries, for pretraining.",
        check_data=False,  # the check needs TensorFlow; opening a corpus compares hashes instead
    )
