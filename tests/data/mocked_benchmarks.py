"""GLUE's and SuperGLUE's data sets with a few examples, under their names in TensorFlow Datasets."""

import pathlib
from typing import Any

import numpy as np

from bert_jax.data.benchmarks import BENCHMARKS
from bert_jax.files import data_sets
from tests.data.tables.small_data_set import write_splits

TRAIN, HELD_OUT = 24, 10


def mock_benchmarks(folder: pathlib.Path, words: list[str], monkeypatch: Any, *names: str) -> None:
    """Makes TensorFlow Datasets find the named data sets, such as `glue/mrpc`, in a folder.

    Test splits have the label -1, and their examples stand in another order than that of `idx`, as TFDS writes them.
    """
    import tensorflow_datasets as tfds

    tasks = {task.data_set: task for benchmark in BENCHMARKS.values() for task in benchmark.tasks.values()}
    for name in names:
        task = tasks["glue/mnli" if name == "glue/ax" else name]
        if not (folder / name).exists():
            (folder / name).mkdir(parents=True)
            tests = {split: -HELD_OUT for data_set, split in task.submissions.values() if data_set == name}
            sizes = {} if name == "glue/ax" else {"train": TRAIN, **dict.fromkeys(task.validation, HELD_OUT)}
            splits = {split: examples(task, words, size) for split, size in (sizes | tests).items()}
            write_splits(folder / name, lambda features, task=task: features_of(task, features), splits)

    def open_builder(name: str, split: str, flag: str) -> Any:
        return tfds.builder_from_directory(folder / name)

    monkeypatch.setattr(data_sets, "open_builder", open_builder)


def features_of(task: Any, features: Any) -> dict:
    columns = [*task.columns, *([task.context_column] if task.context_column else [])]
    columns += ["premise", "question"] if task.chooses else []
    labels = task.labels or (("choice1", "choice2") if task.chooses else ())
    label = features.ClassLabel(names=list(labels)) if labels else features.Scalar(np.float32)
    return {name: features.Text() for name in columns} | {"label": label, "idx": features.Scalar(np.int32)}


def examples(task: Any, words: list[str], size: int) -> list[dict]:
    """Texts that begin with a word for their label; a negative size: of a test split."""
    num_labels = len(task.labels) or (2 if task.chooses else 6)
    found = []
    for i in range(abs(size)):
        label = i % num_labels
        texts = {name: f"{words[label]} {words[i % 7 + 8]} {words[i % 5 + 8]}" for name in task.columns}
        texts |= {"premise": "the end", "question": "cause"} if task.chooses else {}
        texts |= {task.context_column: words[7]} if task.context_column else {}
        found.append(texts | {"label": label if size > 0 else -1, "idx": i})
    return found if size > 0 else found[::-1]
