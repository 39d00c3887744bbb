"""The config and the tokenizer of the model that a new run starts from."""

import dataclasses
import json
from collections.abc import Mapping

from etils import epath

from bert_jax import configuration
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.model.config import ModelConfig
from bert_jax.tokenization import Tokenizer, from_files
from bert_jax.training.workdir.warm_start import open_start

# Model fields that decide what the parameters mean. A new run must have the same values as the checkpoint.
DECIDED = (
    "vocab_size",
    "num_layers",
    "hidden_size",
    "num_heads",
    "intermediate_size",
    "positions",
    "max_positions",
    "num_token_types",
    "norm_position",
    "activation",
    "layer_norm_epsilon",
)
# Model fields that a new run takes from the checkpoint unless it sets them.
INHERITED = ("pooling", "initializer_range")
# Those of them that do not show in the shapes of parameters.
SHAPELESS = ("positions", "norm_position", "activation", "layer_norm_epsilon")
TOKENIZER = "tokenizer/"  # folder in the workdir


@dataclasses.dataclass(frozen=True)
class StartingPoint:
    """A model's config and tokenizer."""

    model: ModelConfig
    tokenizer: Tokenizer


def read_starting_point(path: epath.PathLike) -> StartingPoint:
    """Reads the model's config and tokenizer from the checkpoint at `train.init_from`.

    Raises:
      CheckpointError: there is no checkpoint, or it has no valid model config.
    """
    assets = open_start(path).assets
    try:
        model = json.loads(assets["config.json"])["config"]["model"]
        return StartingPoint(configuration.from_dict(ModelConfig, model), tokenizer_from(assets))
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(f"The checkpoint in {path} has no valid model config or tokenizer ({error!r}).") from None


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """Returns the files of a run that hold its tokenizer; the inverse of `tokenizer_from`."""
    return {TOKENIZER + name: content for name, content in tokenizer.files().items()}


def tokenizer_from(files: Mapping[str, bytes]) -> Tokenizer:
    """Reads the tokenizer from the files of a run."""
    return from_files(
        {name.removeprefix(TOKENIZER): file for name, file in files.items() if name.startswith(TOKENIZER)}
    )


def inherit_model(given: ModelConfig, there: ModelConfig, path: str) -> None:
    """Fills in the fields of `given` that have default values with those of the checkpoint's model.

    Raises:
      ConfigError: a field that decides what the parameters mean has another value.
    """
    default = ModelConfig()
    for name in (*DECIDED, *INHERITED):
        value = getattr(given, name)
        if value == getattr(default, name):
            setattr(given, name, getattr(there, name))
        elif name in DECIDED and value != getattr(there, name):
            raise ConfigError(
                f"model.{name}={value} differs from train.init_from={path}, which has {getattr(there, name)}:"
                " leave it out."
            )


def check_same_model(given: ModelConfig, there: ModelConfig, path: str) -> None:
    """Compares the fields that decide what parameters mean and that do not show in their shapes.

    Raises:
      ConfigError: some fields differ; the message lists them all.
    """
    differ = [name for name in SHAPELESS if getattr(given, name) != getattr(there, name)]
    if differ:
        values = "; ".join(
            f"model.{name} is {getattr(given, name)}, but {getattr(there, name)} there" for name in differ
        )
        raise ConfigError(f"train.init_from={path} holds another model: {values}. Give the same values.")
