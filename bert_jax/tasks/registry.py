"""All tasks, by their name in `config.json`. A new task is added here.

`training/task.py` is the contract of a task, and `classification.py` a short example.
"""

from typing import Any

from bert_jax.errors import ConfigError, did_you_mean
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.embedding import Embedding
from bert_jax.tasks.pretraining import Pretraining
from bert_jax.training.task import TaskKind

TASKS: dict[str, TaskKind[Any]] = {kind.name: kind for kind in (Pretraining(), Classification(), Embedding())}


def task_named(name: str) -> TaskKind[Any]:
    """Returns the task of this name.

    Raises:
      ConfigError: there is no such task.
    """
    if name not in TASKS:
        raise ConfigError(f"There is no task {name!r}, only {', '.join(TASKS)}.{did_you_mean(name, TASKS)}")
    return TASKS[name]
