"""TensorFlow data sets, example by example."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bert_jax.data.tables.parquet import named, plain
from bert_jax.data.tables.record import Record
from bert_jax.errors import CorpusError
from bert_jax.files import data_sets

PREFIX = "tfds:"
ROWS = 64  # that are held in memory


def read_data_set(path: str) -> Iterator[Record]:
    """Yields the examples of `tfds:NAME:SPLIT`: classes by their names, the class -1 as None.

    Raises:
      CorpusError: TFDS has no such data set or split, or cannot read it.
    """
    name, split = data_sets.split_name(path.removeprefix(PREFIX))
    with data_sets.readable(path):
        if not split:
            raise CorpusError(f"{path} names no split: write tfds:NAME:SPLIT, as in {path}:train.")
        builder = data_sets.open_builder(name, split, path)
        features = builder.info.features
        # TFDS declares a plain sequence, which has no `__getitems__`.
        examples: Any = builder.as_data_source(split=split)
        count = len(examples)
    for begin in range(0, count, ROWS):
        with data_sets.readable(path):
            found = examples.__getitems__(list(range(begin, min(begin + ROWS, count))))
        for number, example in enumerate(found, begin + 1):
            where = f"{path}, example {number}"
            yield Record({name: _value(features[name], example[name], where, name) for name in example}, where)


def _value(feature: Any, value: Any, where: str, column: str) -> Any:
    if isinstance(value, dict):  # of features, or of a sequence of them
        inner = getattr(feature, "feature", feature)
        return {name: _value(inner[name], of_name, where, column) for name, of_name in value.items()}
    found = plain(_python(value), where, column)
    # A sequence has the attributes of what it holds.
    return named(found, feature.names, where) if hasattr(feature, "int2str") else found


def _python(value: Any) -> Any:
    if isinstance(value, list):
        return [_python(inner) for inner in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
