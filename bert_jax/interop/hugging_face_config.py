"""The `config.json` of Hugging Face `transformers`: from and to a `ModelConfig`, and the labels of a classifier."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from bert_jax import configuration
from bert_jax.errors import ConfigError, quoted
from bert_jax.interop.names import FAMILIES, Family
from bert_jax.model.config import ModelConfig

# From their names to ours. Shapes are required; rates have the same defaults on both sides.
SHAPES = {
    "vocab_size": "vocab_size",
    "num_hidden_layers": "num_layers",
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_heads",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "max_positions",
    "type_vocab_size": "num_token_types",
}
RATES = {
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "layer_norm_eps": "layer_norm_epsilon",
    "initializer_range": "initializer_range",
}
DISTILBERT = {
    "n_layers": "num_hidden_layers",
    "dim": "hidden_size",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "activation": "hidden_act",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
}
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
# Options of theirs for which only one value is supported.
FIXED = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
    "pruned_heads": {},
}
MAX_LAYERS, MAX_LABELS = 1000, 1_000_000


@dataclasses.dataclass(frozen=True)
class ForeignConfig:
    """What a `config.json` says.

    Attributes:
      model: the config of the body.
      family: the naming scheme of the weights.
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
    """Reads the contents of a `config.json`; fields that concern neither body nor labels are ignored.

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
    if "auto_map" in values:
        raise ConfigError("auto_map names Python code for this model, which is never run: it is not plain BERT.")
    for name, only in FIXED.items():
        if values.get(name, only) != only:
            raise ConfigError(f"{name}={quoted(values[name])} is not supported: only {only!r} is.")
    family = FAMILIES[kind]
    if kind == "distilbert":
        values = {DISTILBERT.get(name, name): value for name, value in values.items()} | {"type_vocab_size": 1}
        values.setdefault("max_position_embeddings", 512)
    values.setdefault("type_vocab_size", 2)
    return ForeignConfig(
        _model(values, family), family, _architecture(values), _labels(values), str(values.get("problem_type", ""))
    )


def _model(values: Mapping[str, Any], family: Family) -> ModelConfig:
    if missing := [name for name in SHAPES if name not in values]:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise ConfigError(f"config.json lacks {missing[0]}{more}: restore it.")
    config = ModelConfig()
    for theirs, ours in (SHAPES | RATES).items():
        if theirs in values:
            try:
                configuration.replace(config, ours, values[theirs])
            except ConfigError:
                raise ConfigError(
                    f"config.json has {theirs}={quoted(values[theirs])}, not a number of its kind."
                ) from None
    if config.num_layers > MAX_LAYERS:
        raise ConfigError(
            f"config.json has num_hidden_layers={config.num_layers}: more than {MAX_LAYERS} are not read."
        )
    config.max_positions -= family.first_position
    activation = values.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ConfigError(f"hidden_act={quoted(activation)} is not one of {', '.join(ACTIVATIONS)}.")
    config.activation = ACTIVATIONS[activation]
    if problems := "\n".join(config.problems()):
        for theirs, ours in (SHAPES | RATES).items():  # in the file's own names
            problems = problems.replace(f"model.{ours}", theirs)
        raise ConfigError(problems)
    return config


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
      ConfigError: Hugging Face's BERT does not support the model.
    """
    check_expressible(config)
    values = {theirs: getattr(config, ours) for theirs, ours in (SHAPES | RATES).items()}
    values["intermediate_size"] = config.feed_forward_size
    values["hidden_act"] = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation)
    return {"model_type": "bert", **values}


def check_expressible(config: ModelConfig) -> None:
    """Checks that Hugging Face's BERT can have this config.

    Raises:
      ConfigError: it cannot.
    """
    if config.norm_position != "post":
        raise ConfigError(
            f"model.norm_position={config.norm_position} does not exist in Hugging Face's BERT: only post does."
        )
    if config.vocab_size is None:
        raise ConfigError("model.vocab_size is empty: give the number of tokens.")
