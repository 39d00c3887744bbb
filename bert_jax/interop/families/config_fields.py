"""Single fields of a `config.json`, from and to those of a `ModelConfig`."""

from collections.abc import Mapping
from typing import Any

from bert_jax import configuration
from bert_jax.errors import ConfigError, quoted
from bert_jax.model.config import ModelConfig

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def set_field(config: ModelConfig, ours: str, theirs: str, value: Any) -> None:
    """Sets a model field to a value of `config.json`.

    Raises:
      ConfigError: the value is of another type.
    """
    try:
        configuration.replace(config, ours, value)
    except (ConfigError, OverflowError):
        plain, _ = configuration.field_type(config, ours)
        kind = "true or false" if plain is bool else "a number of its kind"
        raise ConfigError(f"config.json has {theirs}={quoted(value)}, not {kind}.") from None


def choose(values: Mapping[str, Any], name: str, choices: Mapping[str, str], default: str) -> str:
    """Returns what a field of `config.json`, or its default, means: a table of its values says so.

    Raises:
      ConfigError: it has another one.
    """
    value = values.get(name, default)
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name}={quoted(value)} is not one of {', '.join(choices)}.")
    return choices[value]


def activation_name(config: ModelConfig) -> str:
    """Returns the name of a model's activation in `config.json`."""
    return next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation)
