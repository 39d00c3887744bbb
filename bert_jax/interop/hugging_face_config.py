"""The `config.json` of Hugging Face `transformers`: from and to a `ModelConfig`, and the labels of a classifier."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from bert_jax.errors import ConfigError, quoted
from bert_jax.interop.families.family import Family
from bert_jax.interop.families.registry import FAMILIES, family_of
from bert_jax.model.config import ModelConfig

MAX_LABELS = 1_000_000


@dataclasses.dataclass(frozen=True)
class ForeignConfig:
    """What a `config.json` says.

    Attributes:
      model: the config of the body.
      family: that of its class, which knows the names of the weights.
      architecture: the class that wrote it, such as `BertForSequenceClassification`; empty if it does not say.
      labels: the names of the labels by number; empty if it does not say.
      problem: `regression`, `single_label_classification`, `multi_label_classification`, or empty.
    """

    model: ModelConfig
    family: Family
    architecture: str
    labels: tuple[str, ...]
    problem: str


def read_config(values: Any) -> ForeignConfig:
    """Reads the contents of a `config.json`; fields that concern neither the model nor its labels are ignored.

    An optional field may be null. Without a `model_type` it is BERT's.

    Raises:
      ConfigError: the model is of another family, or a value is missing, unsupported, or of another type.
    """
    if not isinstance(values, dict):
        raise ConfigError("config.json is not a JSON object: restore it.")
    values = {name: value for name, value in values.items() if value is not None}
    kind = values.get("model_type", "bert")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ConfigError(f"model_type={quoted(kind)} is not supported: only {', '.join(FAMILIES)} are.")
    if "quantization_config" in values:
        raise ConfigError("quantization_config is set: quantised models are not supported; save the model without it.")
    family = FAMILIES[kind]
    if "auto_map" in values and not _is_own_code(values["auto_map"], family):
        raise ConfigError(
            f"auto_map names Python code for this model, which is never run: it is not plain {family.title}."
        )
    return ForeignConfig(
        family.read(values), family, _architecture(values), _labels(values), str(values.get("problem_type", ""))
    )


def _is_own_code(auto_map: Any, family: Family) -> bool:
    """Whether `auto_map` names only classes that have become those of `transformers`."""
    names = auto_map.values() if family.own_code and isinstance(auto_map, dict) else [None]
    return all(isinstance(name, str) and name.rpartition(".")[2].startswith(family.own_code) for name in names)


def _architecture(values: Mapping[str, Any]) -> str:
    names = values.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""


def _labels(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of `id2label`, whose keys are numbers as text."""
    given = values.get("id2label")
    if not isinstance(given, dict) or len(given) > MAX_LABELS:
        return ()
    by_number = {str(number): str(name) for number, name in given.items()}
    names = tuple(by_number.get(str(i), "") for i in range(len(by_number)))
    return names if all(names) and len(set(names)) == len(names) else ()


def write_config(config: ModelConfig) -> dict[str, Any]:
    """Converts a config to the contents of a `config.json` without labels; the inverse of `read_config`.

    Raises:
      ConfigError: no family of Hugging Face's has the model.
    """
    return family_of(config).write(config)
