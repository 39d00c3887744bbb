"""TensorFlow data sets in ArrayRecord form, which can be read without TensorFlow."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from etils import epath

from bert_jax.errors import CorpusError
from bert_jax.files.damage import raising

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


def split_name(pattern: str) -> tuple[str, str]:
    """Splits `NAME[:SPLIT]` into name and split, which may be empty."""
    match = re.fullmatch(r"(?P<name>.+?)(?::(?P<split>[A-Za-z_]\w*(\[[^\]]*\])?))?", pattern, re.DOTALL)
    return (match["name"], match["split"] or "") if match else ("", "")


def is_folder(name: str) -> bool:
    """Whether a name is that of a folder with a data set, not of a data set that TFDS knows."""
    return (epath.Path(name) / "dataset_info.json").exists()


def open_builder(name: str, split: str, flag: str) -> tfds.core.DatasetBuilder:
    """Opens a data set. One that is given by its name is downloaded if needed.

    Args:
      name: of a data set or a folder.
      split: one of its splits, or a part of one, as in `train[:10%]`.
      flag: how the user gave them, for errors.

    Raises:
      CorpusError: there is no such split.
    """
    import tensorflow_datasets as tfds  # needed for this kind of data only

    if is_folder(name):
        builder = tfds.builder_from_directory(name)
    else:
        builder = tfds.builder(name, file_format="array_record")
        builder.download_and_prepare()
    if split.partition("[")[0] not in builder.info.splits:
        raise CorpusError(f"{flag} has no such split: give one of {', '.join(builder.info.splits)}.")
    return builder


def readable(flag: str) -> contextlib.AbstractContextManager[None]:
    """A context for calls of TFDS and the libraries under it.

    Raises:
      CorpusError: instead of any other exception.
    """

    def describe(error: Exception) -> CorpusError:
        reason = " ".join(str(error).split())[:300]
        return CorpusError(f"{flag} cannot be read by TensorFlow Datasets: {reason}")

    return raising(describe)
