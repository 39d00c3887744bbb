"""The config and the tokenizer of the model that a new run starts from."""

import dataclasses
import functools
import json
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from bert_jax import configuration, hashing
from bert_jax.errors import CheckpointError, ConfigError, did_you_mean
from bert_jax.interop.folders import is_released, read_released
from bert_jax.model.config import ModelConfig
from bert_jax.tokenization import Tokenizer, from_files
from bert_jax.training.workdir import warm_start
from bert_jax.training.workdir.checkpoints import find_checkpoints
from bert_jax.training.workdir.folder import MODEL_FILE

# Model fields that decide what the parameters mean. A new run must have the same values as the checkpoint.
DECIDED = (
    "vocab_size",
    "num_layers",
    "hidden_size",
    "num_heads",
    "num_kv_heads",
    "intermediate_size",
    "positions",
    "max_positions",
    "num_token_types",
    "rotary_share",
    "query_key_norm",
    "attention_bias",
    "feed_forward",
    "feed_forward_bias",
    "norm",
    "norm_position",
    "activation",
    "norm_bias",
    "embedding_norm",
    "first_norm",
    "final_norm",
    "layer_norm_epsilon",
)
# Model fields that a new run takes from the checkpoint unless it sets them: those of new heads, and those that further
# training may change, such as for longer texts.
INHERITED = (
    "rotary_base",
    "local_rotary_base",
    "rotary_scale",
    "local_window",
    "global_every",
    "head_transform",
    "head_bias",
    "output_bias",
    "tied_output",
    "logit_cap",
    "pooling",
    "initializer_range",
    "initializer",
)
# Model fields that are each run's own.
OWN = ("dropout", "embedding_dropout", "feed_forward_dropout", "attention_dropout", "dtype", "phases", "remat")
# Those of DECIDED that do not show in the shapes of parameters.
SHAPELESS = ("positions", "rotary_share", "norm_position", "activation", "norm", "layer_norm_epsilon")
TOKENIZER = "tokenizer/"  # folder in the workdir


def check_is_model(path: epath.Path) -> None:
    """Checks that there is something at a path which `load` might open.

    Raises:
      CheckpointError: there is not.
    """
    if not path.exists():
        beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise CheckpointError(f"There is no folder {path}.{did_you_mean(path.name, beside)}")
    if _is_model(path):
        return
    models = sorted(one.name for one in path.iterdir() if one.is_dir() and _is_model(one)) if path.is_dir() else []
    raise CheckpointError(
        f"{path} is neither a run nor a released model: it has no checkpoints, config.json or bert_config.json."
        + (f" Did you mean {path / models[0]}?" if models else "")
    )


def _is_model(path: epath.Path) -> bool:
    return is_released(path) or find_checkpoints(path)[0].exists()


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """A model's config and tokenizer."""

    model: ModelConfig
    tokenizer: Tokenizer


def read_starting_point(path: epath.PathLike) -> StartingPoint:
    """Reads the model's config and tokenizer from what `train.init_from` names: a run, or a released folder.

    Raises:
      BertJaxError: there is no checkpoint, or it has no valid model config or tokenizer.
    """
    folder = epath.Path(path).expanduser()
    check_is_model(folder)
    if is_released(folder):
        model = read_released(folder)
        return StartingPoint(model.config, model.tokenizer)
    start = warm_start.open_start(path)
    assets = start.assets
    try:
        if MODEL_FILE in assets:
            model = json.loads(assets[MODEL_FILE])["model"]
        else:
            model = json.loads(assets["config.json"])["config"]["model"]
        return StartingPoint(configuration.from_dict(ModelConfig, model).after(start.step or 0), tokenizer_from(assets))
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(f"The checkpoint in {path} has no valid model config or tokenizer ({error!r}).") from None


class ReleasedStart:
    """The parameters of a released folder. A `training.workdir.warm_start.Start`."""

    step = None

    def __init__(self, path: epath.Path):
        self._parameters = read_released(path).parameters

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self._parameters.shapes

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of the parameters."""
        read = self._parameters.read
        return hashing.fingerprint({name: zlib.crc32(read(name).data) for name in sorted(self.shapes)})

    def read(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Reads and places some parameters, one after the other, as the given `ocp.ArrayRestoreArgs` say."""
        return {name: _placed(self._parameters.read(name), one.dtype, one.sharding) for name, one in wanted.items()}


def _placed(value: np.ndarray, dtype: Any, sharding: Any) -> jax.Array:
    return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index].astype(dtype, copy=False))


def open_start(path: str) -> warm_start.Start:
    """Opens what `train.init_from` names: a run, one of its checkpoints, or a released folder.

    Raises:
      BertJaxError: it cannot be read.
    """
    folder = epath.Path(path).expanduser()
    check_is_model(folder)
    return ReleasedStart(folder) if is_released(folder) else warm_start.open_start(folder)


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """Returns the files of a run that hold its tokenizer; the inverse of `tokenizer_from`."""
    return {TOKENIZER + name: content for name, content in tokenizer.files().items()}


def tokenizer_from(files: Mapping[str, bytes]) -> Tokenizer:
    """Reads the tokenizer from the files of a run."""
    return from_files(
        {name.removeprefix(TOKENIZER): file for name, file in files.items() if name.startswith(TOKENIZER)}
    )


def inherit_model(given: ModelConfig, there: ModelConfig, path: str, must_agree: Collection[str] = DECIDED) -> None:
    """Fills in the fields that `given` leaves open with those of the checkpoint's model.

    Args:
      given: changed in place.
      there: the checkpoint's model.
      path: `train.init_from`, for messages.
      must_agree: the fields that may not have another value.

    Raises:
      ConfigError: such fields have other values; the message lists them all.
    """
    differ = []
    # Without windows, what is said of them has no effect.
    no_window = given.is_given("local_window") and given.local_window is None
    for name in (*DECIDED, *INHERITED):
        if no_window and name in ("global_every", "local_rotary_base"):
            continue
        value, found = getattr(given, name), getattr(there, name)
        if not given.is_given(name):
            setattr(given, name, found)
        elif name in must_agree and value != found:
            differ.append(f"model.{name}={value} differs from train.init_from={path}, which has {found}: leave it out.")
    if differ:
        raise ConfigError("\n".join(differ))
