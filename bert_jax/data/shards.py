"""The exchange form of a corpus: ArrayRecord shards with TFDS metadata, one record a document.

`tfds.builder_from_directory(corpus)` opens it without TensorFlow. Training does not read it: `corpus.py` derives a
memory-mapped form from it.
"""

from collections.abc import Iterator

import numpy as np
from etils import epath

DATASET = "corpus"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


def features():
    """The TFDS features of a record. Token ids and sentence lengths (in tokens) are int32 [n]."""
    import tensorflow_datasets as tfds  # only building and rebuilding need it; training does not

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
    """Writes one shard, a record at a time; a context manager."""

    def __init__(self, path: epath.PathLike):
        from array_record.python import array_record_module
        from tensorflow_datasets.proto import tf_example_pb2

        self._features, self._message = features(), tf_example_pb2.Example
        # Readers with random access want one record a group.
        self._writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")

    def write(self, record: dict) -> None:
        """Appends a record with the fields of `features`."""
        encoded = self._features.serialize_example(record)
        # TFDS writes the fields in the order of a hash table, which differs from process to process.
        self._writer.write(self._message.FromString(encoded).SerializeToString(deterministic=True))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._writer.close()


def read(path: epath.PathLike) -> Iterator[dict]:
    """The records of one shard, in order."""
    from array_record.python import array_record_module

    schema = features()
    reader = array_record_module.ArrayRecordReader(str(path))
    total = reader.num_records()
    for start in range(0, total, 1024):
        for record in reader.read(start, min(start + 1024, total)):
            yield schema.deserialize_example_np(record)
    reader.close()


def shard_name(split: str, index: int, count: int) -> str:
    """File name of one shard, as TFDS expects it."""
    return f"{DATASET}-{split}.array_record-{index:05d}-of-{count:05d}"


def write_metadata(directory: epath.PathLike, shards: dict[str, list[dict]]) -> None:
    """Makes a folder of shards a TFDS dataset.

    Args:
      directory: the corpus.
      shards: for each split, its shards in order, as {"records": int, "bytes": int}.
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
        check_data=False,  # the check would need TensorFlow; ours compares hashes
    )
