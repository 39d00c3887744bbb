"""Opens a trained model, whoever wrote it: a run, one of its checkpoints, a folder of Hugging Face or of Google."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import flax.traverse_util
import jax
import numpy as np
from absl import logging
from etils import epath

from bert_jax import configuration
from bert_jax.errors import CheckpointError, ConfigError, choice_problem
from bert_jax.interop.folders import is_released, read_released
from bert_jax.interop.released import ReleasedModel
from bert_jax.model.config import CHOICES
from bert_jax.model_file import read_description
from bert_jax.objectives.embeddings import Embeddings
from bert_jax.pretrained import Pretrained
from bert_jax.tasks.registry import task_named
from bert_jax.tasks.starting_point import check_is_model, tokenizer_from
from bert_jax.training.workdir.averaging import LastParams
from bert_jax.training.workdir.checkpoints import SavedParams, find_checkpoints
from bert_jax.training.workdir.folder import MODEL_FILE, task_of
from bert_jax.training.workdir.reading import check_readable


def load(
    path: epath.PathLike,
    step: int | None = None,
    dtype: str | None = None,
    activation: str | None = None,
    last: int | None = None,
    mean: bool = True,
) -> Pretrained:
    """Opens a trained model.

    Args:
      path: a run's folder, its `checkpoints/` (which is self-contained), a checkpoint in it such as
        `checkpoints/2295`; a folder that `Pretrained.save_checkpoint` wrote; a folder of Hugging Face `transformers` or
        sentence-transformers; or a folder of Google's with a TensorFlow checkpoint. If a folder holds both, Hugging
        Face's is read.
      step: which checkpoint of a run; None: the best one if the run keeps it (`eval.best_by`), else the newest. The
        result's `step` says which it is.
      dtype: of products and activations, `float32` or `bfloat16`; None: as in its training, float32 for a released
        model. Parameters are float32 in any case.
      last: take the mean of the parameters of so many checkpoints of a run: of the last ones, or of those up to `step`.
      mean: of a run with `optimizer.mean_decay`, take the running mean of its parameters; False: those of the step.

    Raises:
      CheckpointError: there is no model, or it is damaged.
      ConfigError: the model is not of a supported kind, or the config is of another version.
      ReadError: a file cannot be read at the moment, for example because a bucket does not answer.
      TokenizerError: its tokenizer is missing or damaged.
    """
    try:
        return _load(epath.Path(path).expanduser(), step, dtype, activation, last, mean)
    except OSError as error:
        check_readable(error, str(path))
        raise


def _load(
    path: epath.Path, step: int | None, dtype: str | None, activation: str | None, last: int | None, mean: bool
) -> Pretrained:
    changes: dict[str, Any] = {
        name: value for name, value in (("dtype", dtype), ("activation", activation)) if value is not None
    }
    for name in ("dtype", "activation"):
        if name in changes and (problems := choice_problem(name, changes[name], CHOICES[name])):
            raise ConfigError(*problems)
    opened = open_folder(path, step, last, mean)
    if isinstance(opened, ReleasedModel):
        model = _released(opened, str(path))
    else:
        make = _own if MODEL_FILE in opened.assets else _run
        model = make(path, opened)
    logging.info("Opened %r.", model)  # with the heads that are there, and those that are not
    return dataclasses.replace(model, config=dataclasses.replace(model.config, **changes))


def open_folder(
    path: epath.PathLike, step: int | None = None, last: int | None = None, mean: bool = True
) -> ReleasedModel | SavedParams:
    """Opens what `load` opens, without reading the parameters. The arguments are those of `load`.

    Raises:
      BertJaxError: see `load`.
    """
    path = epath.Path(path).expanduser()
    check_is_model(path)
    if is_released(path):
        if step is not None:
            raise CheckpointError(f"{path} is not a run, so it has no step {step}.")
        if last is not None:
            raise CheckpointError(f"{path} is not a run, so it has no last {last} checkpoints.")
        return read_released(path)
    folder, named_step = find_checkpoints(path)
    chosen = named_step if step is None else step
    return SavedParams(folder, chosen, mean) if last is None else LastParams(folder, last, chosen, mean)


def _own(path: epath.Path, saved: SavedParams) -> Pretrained:
    return Pretrained(
        source=str(path),
        params=_placed(saved.parts()),
        tokenizer=tokenizer_from(saved.assets),
        **read_description(saved.assets[MODEL_FILE]),
    )


def _run(path: epath.Path, saved: SavedParams) -> Pretrained:
    files = saved.assets
    values = json.loads(files["config.json"])
    kind = task_named(task_of(values))
    config = configuration.from_dict(kind.config_class, values["config"])
    scores = {name.removeprefix("eval/"): value for name, value in saved.scores.items()}
    limits = [kind.longest_example(config), config.model.longest_row]
    objectives = tuple(one.calibrated(scores) for one in kind.objectives(config, files))
    is_embedder = any(isinstance(one, Embeddings) for one in objectives)  # it embeds as it was trained to
    return Pretrained(
        source=str(path),
        config=config.model.after(saved.step),
        objectives=objectives,
        params=_placed(saved.parts()),
        tokenizer=tokenizer_from(files),
        max_tokens=min(limit for limit in limits if limit),
        task=kind.name,
        run=config,
        step=saved.step,
        pooling=config.model.pooling if is_embedder else "mean",
        normalize=is_embedder,
    )


def _released(found: ReleasedModel, source: str) -> Pretrained:
    return Pretrained(
        source=source,
        config=found.config,
        objectives=found.objectives,
        params=_placed({name: found.parameters.read(name)} for name in found.parameters.shapes),
        tokenizer=found.tokenizer,
        max_tokens=found.max_tokens,
        pooling=found.pooling or "mean",
        normalize=found.normalize,
    )


def _placed(parts: Iterable[dict[str, np.ndarray]]) -> Any:
    """Moves arrays to the device, each part before the next one is made: there is never a second copy of them all.

    Returns:
      A tree, from the arrays' paths.
    """
    placed = {}
    for part in parts:
        for name in list(part):
            placed[name] = jax.block_until_ready(jax.device_put(part.pop(name)))
    return flax.traverse_util.unflatten_dict(placed, sep="/")
