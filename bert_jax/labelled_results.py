"""What a trained model says of labelled or new examples: predictions, and scores of a labelled file."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from bert_jax import storage
from bert_jax.batch import cut, on_device
from bert_jax.data.labelled import Rows
from bert_jax.data.tables.tables import find
from bert_jax.data.tables.tfds import PREFIX
from bert_jax.errors import BertJaxError, CheckpointError, ConfigError, CorpusError
from bert_jax.objectives.learner import Learner
from bert_jax.pretrained import Pretrained
from bert_jax.tasks.labelled import TEST, LabelledKind
from bert_jax.tasks.registry import TASKS, task_named
from bert_jax.training.placed import score_batches
from bert_jax.training.step import Randomness

EXAMPLES_AT_ONCE = 1024
TOKENS_AT_ONCE = 4096  # in a batch


def predictions(
    model: Pretrained, path: epath.PathLike, labelled: bool, lines: list[str], skip: int = 0
) -> Iterator[dict[str, Any]]:
    """Yields what a model says of each example of a file, in order, as JSON objects; of any number of examples.

    Args:
      model: of a task on labelled examples.
      path: the file; see `data.tables.read_table`.
      labelled: whether its labels are read, and given as `gold`.
      lines: lines for people are appended to it, such as which columns are read.
      skip: how many examples to leave out at the beginning.

    Raises:
      CheckpointError: the model is of another task.
      CorpusError: an example cannot be read.
    """
    kind = _kind(model)
    examples = itertools.islice(kind.read(model.run, str(path), lines, labelled), skip, None)
    while some := list(itertools.islice(examples, EXAMPLES_AT_ONCE)):
        for found in kind.predict(model, some):
            yield found if labelled else {name: value for name, value in found.items() if name != "gold"}


def write_predictions(
    model: Pretrained,
    path: epath.PathLike,
    output: epath.PathLike,
    tell: Callable[[str], None] = lambda _: None,
    labelled: bool = False,
) -> int:
    """Writes what a model says of each example of a file, an object a line; goes on where an earlier call was killed.

    Until it is complete, the file has the name `OUTPUT.partial`. It is begun anew if another model made it, or if the
    input is another or has changed.

    Args:
      model: of a task on labelled examples.
      path: the examples, see `data.tables.read_table`.
      output: the `.jsonl` file to write, on a local disk.
      tell: is called with lines for people: which columns are read, and how many texts are empty.
      labelled: whether labels are read, and written as `gold`.

    Returns:
      The number of examples in the file.

    Raises:
      CheckpointError: the model is of another task.
      ConfigError: the output is no `.jsonl` file.
      CorpusError: an example cannot be read.
      WriteError: the file cannot be written.
    """
    output = pathlib.Path(output)
    if output.suffix != ".jsonl":
        raise ConfigError(f"Predictions are JSON Lines, so {output} must end in .jsonl: rename it.")
    partial, about = (output.with_name(f"{output.name}.partial{end}") for end in ("", ".json"))
    made_by = {
        "model": model.source,
        "step": model.step,
        "input": str(path),
        "files": _state_of(path),
        "gold": labelled,
        "columns": {name: value for name, value in vars(model.run.data).items() if name.endswith("_column")},
    }
    with storage.writing(output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
        known = partial.exists() and not partial.is_symlink() and about.exists() and storage.read_json(about) == made_by
        if not known:
            partial.unlink(missing_ok=True)
            storage.create(epath.Path(partial)).close()
            storage.write_json(about, made_by)
        count, end = _complete_lines(partial)
        with partial.open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            lines, told = list[str](), 0
            rows = predictions(model, path, labelled, lines, count)
            try:
                while some := list(itertools.islice(rows, EXAMPLES_AT_ONCE)):
                    for line in lines[told:]:
                        tell(line)
                    told = len(lines)
                    file.write(storage.json_lines(some))
                    file.flush()
                    os.fsync(file.fileno())
                    count += len(some)
            except BertJaxError:
                if not count:  # nothing to go on from
                    partial.unlink()
                    about.unlink()
                raise
            for line in lines[told:]:
                tell(line)
        partial.replace(output)
        about.unlink()
    return count


def _state_of(path: epath.PathLike) -> list[list[str | float]]:
    """The files that a path stands for, each with its size and the time of its last change; none of a data set."""
    name = os.fspath(path)
    if name.startswith(PREFIX):
        return []
    found = [(file, epath.Path(file).stat()) for file in find(name)]
    return [[file, about.length, about.mtime] for file, about in found]


def _complete_lines(file: pathlib.Path) -> tuple[int, int]:
    """The number of lines that are complete, and the bytes up to the end of the last one."""
    count = end = 0
    with file.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            count, end = count + 1, end + len(line)
    return count, end


def evaluate(model: Pretrained, path: epath.PathLike) -> dict[str, float]:
    """Returns the scores of a model on a labelled file, and their baselines, by name.

    Raises:
      CheckpointError: the model is of another task.
      CorpusError: an example cannot be used.
    """
    kind = _kind(model)
    data = dataclasses.replace(model.run.data, test=str(path))  # the file that messages name
    config = dataclasses.replace(model.run, data=data)
    examples = list(kind.read(config, str(path), []))
    if not examples:
        raise CorpusError(f"{path} holds no labelled {kind.noun}s.")
    labelled = kind.encode(config, model.objectives, examples, model.tokenizer, TEST, [])
    length = data.sequence_length
    held_out = Rows(labelled, model.tokenizer, length, data.row_examples, (0, 0)).all()
    learner = Learner(model.config, tuple(model.objectives))
    randomness = Randomness(jnp.uint32(0), jnp.int32(0), dropout=False)
    step = jax.jit(lambda params, batch: learner.eval_fn(params, None, batch, randomness))
    rows = len(held_out["example_ids"])
    found = [
        step(model.params, batch) for batch in cut(on_device(held_out), min(rows, max(1, TOKENS_AT_ONCE // length)))
    ]
    return score_batches(learner, found, held_out) | learner.baselines(held_out)


def _kind(model: Pretrained) -> LabelledKind[Any]:
    kind = task_named(model.task) if model.task else None
    if not isinstance(kind, LabelledKind):
        names = ", ".join(name for name, one in TASKS.items() if isinstance(one, LabelledKind))
        raise CheckpointError(f"This model is of none of the tasks {names}, so that it predicts no labels: {model!r}.")
    return kind
