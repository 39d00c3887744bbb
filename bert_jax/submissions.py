"""The files that the servers of GLUE and SuperGLUE want: what a model predicts of test splits without labels."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from etils import epath

from bert_jax import storage
from bert_jax.data.benchmarks import Benchmark, BenchmarkTask, split_path
from bert_jax.data.tables import read_table
from bert_jax.errors import CorpusError, quoted
from bert_jax.labelled_results import predictions
from bert_jax.pretrained import Pretrained

INDEX_COLUMNS = ("idx", "index")


def write_submissions(
    benchmark: Benchmark, task: BenchmarkTask, model: Pretrained, output: epath.PathLike, folder: str = ""
) -> list[str]:
    """Writes the predictions of a task's test splits, unless they are there; labels in them are not read.

    Args:
      benchmark: to which the task belongs.
      task: the task.
      model: was trained on it.
      output: the folder of the files, such as `MRPC.tsv`; `OUTPUT.json` beside it says which model made them.
      folder: local files, see `benchmarks.split_path`; a file that is not there has no predictions.

    Returns:
      The names of the files.

    Raises:
      CheckpointError: the model is of another task.
      CorpusError: a test split cannot be read.
    """
    output, written = epath.Path(output), []
    about = output.parent / f"{output.name}.json"
    known = storage.read_json(about) if about.exists() else {}
    made_by = {"model": model.source, "step": model.step}
    for name, (data_set, split) in task.submissions.items():
        try:
            path = split_path(data_set, split, folder)
        except CorpusError:  # local files, which need not have all test splits
            continue
        written.append(f"{name}{benchmark.ending}")
        if known.get(name) == made_by and (output / written[-1]).exists():
            continue
        answers = [answer(task, said) for said in predictions(_for_new_columns(model), path, False, [])]
        rows = sorted(zip(_indices(path), answers, strict=True))
        with storage.writing(output):
            output.mkdir(parents=True, exist_ok=True)
            storage.write_bytes(output / written[-1], _content(benchmark.ending, rows).encode())
            storage.write_json(about, known := known | {name: made_by})
    return written


def answer(task: BenchmarkTask, said: dict[str, Any]) -> object:
    """Returns a prediction as the server wants it: a label by the server's name, a number within the task's range."""
    predicted = said["predicted"]
    if task.number_range:
        low, high = task.number_range
        return f"{min(max(predicted, low), high):.3f}"
    return task.answers.get(predicted, predicted)


def _for_new_columns(model: Pretrained) -> Pretrained:
    """The model with columns to be guessed: GLUE's diagnostic set and the files of its server have other ones."""
    names = ("text_column", "pair_column", "label_column")
    given = {name: "" for name in names if hasattr(model.run.data, name)}
    return dataclasses.replace(
        model, run=dataclasses.replace(model.run, data=dataclasses.replace(model.run.data, **given))
    )


def _indices(path: str) -> list[int]:
    """The number of each example in the server's order. TensorFlow Datasets shuffles them, and keeps the numbers."""
    found = []
    for place, record in enumerate(read_table(path)):
        column = next((name for name in INDEX_COLUMNS if name in record.values), None)
        value = str(record.values[column] if column else place)
        if not value.isdigit():
            raise CorpusError(f"{record.where}: the index {quoted(value)} is no number: correct it.")
        found.append(int(value))
    if len(set(found)) < len(found):
        raise CorpusError(f"{path} has an index twice: the server could not tell the examples apart.")
    return found


def _content(ending: str, rows: Sequence[tuple[int, object]]) -> str:
    if ending == ".tsv":
        return "index\tprediction\n" + "".join(f"{index}\t{said}\n" for index, said in rows)
    return "".join(json.dumps({"idx": index, "label": said}) + "\n" for index, said in rows)
