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

        self._message = tf_example_pb2.Example
        # Readers with random access want one record a group.
        self._writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")

    def write(self, identifier: str, source: int, token_ids: np.ndarray, sentence_lengths: np.ndarray) -> None:
        """Appends a document, as TFDS would serialise its `features` (which takes five times as long)."""
        example = self._message()
        feature = example.features.feature
        feature["id"].bytes_list.value.append(identifier.encode())
        feature["source"].int64_list.value.append(source)
        feature["token_ids"].bytes_list.value.append(token_ids.astype("<i4", copy=False).tobytes())
        feature["sentence_lengths"].bytes_list.value.append(sentence_lengths.astype("<i4", copy=False).tobytes())
        # Without this the order of the fields would be that of a hash table, which differs between processes.
        self._writer.write(example.SerializeToString(deterministic=True))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._writer.close()


def read(path: epath.PathLike) -> Iterator[dict]:
    """The records of one shard, in order: `id`, `source`, and int32 [n] `token_ids` and `sentence_lengths`."""
    from array_record.python import array_record_module
    from tensorflow_datasets.proto import tf_example_pb2

    reader = array_record_module.ArrayRecordReader(str(path))
    total = reader.num_records()
    for start in range(0, total, 64):
        for record in reader.read(start, min(start + 64, total)):
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
