"""Opens a trained model, whoever wrote it: a run, one of its checkpoints, a folder of Hugging Face or of Google."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import flax.traverse_util
import jax
import numpy as np
from etils import epath

from bert_jax import configuration
from bert_jax.errors import CheckpointError, ConfigError, choice_problem
from bert_jax.interop.folders import is_released, read_released
from bert_jax.interop.released import ReleasedModel
from bert_jax.model.config import ACTIVATIONS, DTYPES
from bert_jax.model_file import read_description
from bert_jax.pretrained import Pretrained
from bert_jax.tasks.registry import task_named
from bert_jax.tasks.starting_point import tokenizer_from
from bert_jax.training.workdir.checkpoints import find_checkpoints, read_params
from bert_jax.training.workdir.folder import MODEL_FILE, task_of


def load(
    path: epath.PathLike, step: int | None = None, dtype: str | None = None, activation: str | None = None
) -> Pretrained:
    """Opens a trained model.

    Args:
      path: a run's folder, its `checkpoints/` (which is self-contained), a checkpoint in it such as
        `checkpoints/2295`; a folder that `Pretrained.save_checkpoint` wrote; a folder of Hugging Face `transformers` or
        sentence-transformers; or a folder of Google's with a TensorFlow checkpoint. If a folder holds both, Hugging
        Face's is read.
      step: which checkpoint of a run; None: the newest.
      dtype: of products and activations, `float32` or `bfloat16`; None: as in its training, float32 for a released
        model. Parameters are float32 in any case.

    Raises:
      CheckpointError: there is no model, or it is damaged.
      ConfigError: the model is not of a supported kind, or the config is of another version.
      TokenizerError: its tokenizer is missing or damaged.
    """
    path = epath.Path(path).expanduser()
    if not path.exists():
        raise CheckpointError(f"There is no folder {path}.")
    changes: dict[str, Any] = {
        name: value for name, value in (("dtype", dtype), ("activation", activation)) if value is not None
    }
    for name, choices in (("dtype", DTYPES), ("activation", ACTIVATIONS)):
        if name in changes and (problems := choice_problem(name, changes[name], choices)):
            raise ConfigError(*problems)
    if is_released(path):
        if step is not None:
            raise CheckpointError(f"{path} is not a run, so it has no step {step}.")
        model = _released(read_released(path), str(path))
    else:
        folder, named_step = find_checkpoints(path)
        found, params, files = read_params(folder, named_step if step is None else step)
        flat: dict[str, Any] = dict(flax.traverse_util.flatten_dict(params, sep="/"))
        params.clear()  # `flat` has the only references
        placed = _placed({name: functools.partial(flat.pop, name) for name in list(flat)})
        if MODEL_FILE in files:
            described = read_description(files[MODEL_FILE])
            model = Pretrained(source=str(path), params=placed, tokenizer=tokenizer_from(files), **described)
        else:
            model = _run(path, found, placed, files)
    return dataclasses.replace(model, config=dataclasses.replace(model.config, **changes))


def _run(path: epath.Path, step: int, params: Any, files: Mapping[str, bytes]) -> Pretrained:
    values = json.loads(files["config.json"])
    kind = task_named(task_of(values))
    config = configuration.from_dict(kind.config_class, values["config"])
    limits = [kind.longest_example(config), config.model.longest_row]
    return Pretrained(
        source=str(path),
        config=config.model,
        objectives=kind.objectives(config, files),
        params=params,
        tokenizer=tokenizer_from(files),
        max_tokens=min(limit for limit in limits if limit),
        task=kind.name,
        run=config,
        step=step,
    )


def _released(found: ReleasedModel, source: str) -> Pretrained:
    return Pretrained(
        source=source,
        config=found.config,
        objectives=found.objectives,
        params=_placed({name: functools.partial(found.parameters.read, name) for name in found.parameters.shapes}),
        tokenizer=found.tokenizer,
        max_tokens=found.max_tokens,
        pooling=found.pooling or "mean",
        normalize=found.normalize,
    )


def _placed(arrays: Mapping[str, Callable[[], np.ndarray]]) -> Any:
    """Makes arrays and moves each to the device before the next one is made: there is never a second copy of them all.

    Returns:
      A tree, from the arrays' paths.
    """
    placed = {name: jax.block_until_ready(jax.device_put(make())) for name, make in arrays.items()}
    return flax.traverse_util.unflatten_dict(placed, sep="/")
