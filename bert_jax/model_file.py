"""Models without a run, in this package's own format: all that `bert_jax.load` needs, and no optimiser state.

FOLDER/
  checkpoints/STEP/     a checkpoint as of a run (training/workdir/checkpoints.py), of parameters alone
  model.json            the config of the model, its heads and limits; each checkpoint has a copy
  tokenizer/            the vocabulary; each checkpoint has a copy
"""

import dataclasses
import json
from typing import Any

from etils import epath

from bert_jax import configuration, storage
from bert_jax.errors import BertJaxError, CheckpointError, ConfigError, quoted
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.candidates import Candidates
from bert_jax.objectives.choices import Choices
from bert_jax.objectives.contrastive import Contrastive
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.masked_words import MaskedWords
from bert_jax.objectives.objective import Objective
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.objectives.similarity import Similarity
from bert_jax.objectives.spans import Spans
from bert_jax.objectives.summary_sentences import SummarySentences
from bert_jax.objectives.word_tags import WordTags
from bert_jax.tasks.registry import task_named
from bert_jax.tasks.starting_point import tokenizer_files
from bert_jax.training.workdir.checkpoints import save_params, unusable_in
from bert_jax.training.workdir.folder import MODEL_FILE

OBJECTIVES: dict[str, type[Objective]] = {
    kind.__name__: kind
    for kind in (
        MaskedWords,
        SentencePairs,
        Candidates,
        Choices,
        Labels,
        WordTags,
        Spans,
        SummarySentences,
        Contrastive,
        Similarity,
    )
}


def write_model(model: Any, folder: epath.PathLike) -> None:
    """Writes a model that `bert_jax.load` opens and `train.init_from` takes.

    Args:
      model: a `pretrained.Pretrained`.
      folder: is made; must be new or empty.

    Raises:
      CheckpointError: a head is of a kind that cannot be written.
      ConfigError: the folder holds something else.
      WriteError: it cannot be written.
    """
    folder = epath.Path(folder).expanduser().absolute()
    if found := unusable_in(folder):
        raise ConfigError(f"{folder} has {found} in it, with which checkpoints cannot be saved: rename it.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not an empty folder: choose another one.")
    files = {MODEL_FILE: describe_model(model)} | tokenizer_files(model.tokenizer)
    save_params(folder / "checkpoints", model.step or 0, model.params, files)
    with storage.writing(folder):
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            storage.write_bytes(folder / name, content)


def describe_model(model: Any) -> bytes:
    """Returns the content of `model.json`: all of a `pretrained.Pretrained` but its parameters and tokenizer.

    Raises:
      CheckpointError: a head is of a kind that cannot be written.
    """
    values = {
        "model": dataclasses.asdict(model.config),
        "objectives": [_values(one) for one in model.objectives],
        "max_tokens": model.max_tokens,
        "pooling": model.pooling,
        "normalize": model.normalize,
        "task": model.task,
        "run": dataclasses.asdict(model.run) if model.run else None,
        "step": model.step,
    }
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def read_description(content: bytes) -> dict[str, Any]:
    """Reads a `model.json`; the inverse of `describe_model`.

    Returns:
      Fields of a `pretrained.Pretrained`, by name.

    Raises:
      CheckpointError: it is damaged.
    """
    try:
        values = json.loads(content)
        found = {name: values[name] for name in ("max_tokens", "pooling", "normalize", "task", "run", "step")}
        found["config"] = configuration.from_dict(ModelConfig, values["model"])
        found["objectives"] = tuple(map(_objective, values["objectives"]))
        if found["run"]:
            found["run"] = configuration.from_dict(task_named(found["task"]).config_class, found["run"])
        return found
    except (BertJaxError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{MODEL_FILE} is damaged ({quoted(error)}): restore it.") from None


def _values(objective: Objective) -> dict[str, Any]:
    kind = type(objective).__name__
    if kind not in OBJECTIVES:
        raise CheckpointError(f"A head of the kind {kind} cannot be written, only {', '.join(OBJECTIVES)}: remove it.")
    values = {field.name: getattr(objective, field.name) for field in dataclasses.fields(objective)}
    # Word counts are of a corpus, for a baseline.
    return {"kind": kind} | {name: value for name, value in values.items() if name != "word_counts"}


def _objective(values: dict[str, Any]) -> Objective:
    own: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return OBJECTIVES[own.pop("kind")](**own)
