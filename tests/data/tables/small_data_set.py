"""A folder in TFDS' form."""

import pathlib
from collections.abc import Callable
from typing import Any


def write_data_set(folder: pathlib.Path, features_of: Callable[[Any], dict], examples: list[dict]) -> None:
    """Writes examples as the split `train`, given their features by the module `tfds.features`."""
    write_splits(folder, features_of, {"train": examples})


def write_splits(folder: pathlib.Path, features_of: Callable[[Any], dict], examples_of: dict[str, list[dict]]) -> None:
    """Writes examples as splits, given their features by the module `tfds.features`."""
    import tensorflow_datasets as tfds
    from array_record.python import array_record_module

    features = tfds.features.FeaturesDict(features_of(tfds.features))
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    splits = []
    for split, examples in examples_of.items():
        writer = array_record_module.ArrayRecordWriter(
            str(folder / f"small-{split}.array_record-00000-of-00001"), "group_size:1"
        )
        for example in examples:
            writer.write(features.serialize_example(features.encode_example(example)))
        writer.close()
        name = tfds.core.ShardedFileTemplate(
            data_dir=folder, template=template, dataset_name="small", split=split, filetype_suffix="array_record"
        )
        splits.append(
            tfds.core.SplitInfo(name=split, shard_lengths=[len(examples)], num_bytes=300, filename_template=name)
        )
    tfds.folder_dataset.write_metadata(
        data_dir=folder, features=features, split_infos=splits, filename_template=template, check_data=False
    )
