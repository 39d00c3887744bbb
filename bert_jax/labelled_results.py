"""What a trained model says of labelled or new examples: predictions, and scores of a labelled file."""

import functools
import itertools
import operator
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from bert_jax.batch import cut
from bert_jax.data.labelled import Rows
from bert_jax.errors import CheckpointError, CorpusError
from bert_jax.objectives.learner import Learner
from bert_jax.pretrained import Pretrained
from bert_jax.tasks.labelled import TEST, LabelledKind
from bert_jax.tasks.registry import TASKS, task_named
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
      labelled: whether its labels are read.
      lines: lines for people are appended to it, such as which columns are read.
      skip: how many examples to leave out at the beginning.

    Raises:
      CheckpointError: the model is of another task.
      CorpusError: an example cannot be read.
    """
    kind = _kind(model)
    examples = itertools.islice(kind.read(model.run, str(path), lines, labelled), skip, None)
    while some := list(itertools.islice(examples, EXAMPLES_AT_ONCE)):
        yield from kind.predict(model, some)


def evaluate(model: Pretrained, path: epath.PathLike) -> dict[str, float]:
    """Returns the scores of a model on a labelled file, and their baselines, by name.

    Raises:
      CheckpointError: the model is of another task.
      CorpusError: an example cannot be used.
    """
    kind = _kind(model)
    examples = list(kind.read(model.run, str(path), []))
    if not examples:
        raise CorpusError(f"{path} holds no labelled {kind.noun}.")
    labelled = kind.encode(model.run, model.objectives, examples, model.tokenizer, TEST, [])
    length = model.run.data.sequence_length
    held_out = Rows(labelled, model.tokenizer, length, model.run.data.row_examples, (0, 0)).all()
    learner = Learner(model.config, tuple(model.objectives))
    randomness = Randomness(jnp.uint32(0), jnp.int32(0), dropout=False)
    step = jax.jit(lambda params, batch: learner.eval_fn(params, None, batch, randomness))
    rows = len(held_out["example_ids"])
    found = [step(model.params, batch) for batch in cut(held_out, min(rows, max(1, TOKENS_AT_ONCE // length)))]
    outcomes, decoded = jax.device_get(list(zip(*found, strict=True)))
    whole = jax.tree.map(lambda *parts: np.concatenate(parts)[:rows], *decoded)
    return learner.score(functools.reduce(operator.add, outcomes), whole, held_out) | learner.baselines(held_out)


def _kind(model: Pretrained) -> LabelledKind[Any]:
    kind = task_named(model.task) if model.task else None
    if not isinstance(kind, LabelledKind):
        names = ", ".join(name for name, one in TASKS.items() if isinstance(one, LabelledKind))
        raise CheckpointError(f"This model is of none of the tasks {names}, so that it predicts no labels: {model!r}.")
    return kind
