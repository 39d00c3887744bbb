"""All tasks, by their name in `config.json`. A new task is added here.

`training/task.py` is the contract of a task, and `classification.py` a short example.
"""

from typing import Any

from bert_jax.errors import ConfigError, did_you_mean
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.embedding import Embedding
from bert_jax.tasks.extractive_summarization import ExtractiveSummarization
from bert_jax.tasks.multiple_choice import MultipleChoice
from bert_jax.tasks.pretraining import Pretraining
from bert_jax.tasks.question_answering import QuestionAnswering
from bert_jax.tasks.tagging import Tagging
from bert_jax.training.task import TaskKind

KINDS = (
    Pretraining(),
    Classification(),
    Tagging(),
    QuestionAnswering(),
    MultipleChoice(),
    ExtractiveSummarization(),
    Embedding(),
)
TASKS: dict[str, TaskKind[Any]] = {kind.name: kind for kind in KINDS}


def task_named(name: str) -> TaskKind[Any]:
    """Returns the task of this name.

    Raises:
      ConfigError: there is no such task.
    """
    if name not in TASKS:
        raise ConfigError(f"There is no task {name!r}, only {', '.join(TASKS)}.{did_you_mean(name, TASKS)}")
    return TASKS[name]
