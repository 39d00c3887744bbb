"""Converts parameters and configs to and from Hugging Face `transformers` BERT, with one table of names for both ways.

Tensors are numpy arrays by their names in `state_dict()`. Reading and writing files is left to the caller.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from bert_jax import configuration
from bert_jax.errors import CheckpointError, ConfigError
from bert_jax.model.config import ModelConfig
from bert_jax.model.positions import fixed_positions

Tensors = dict[str, np.ndarray]

BODY = ("embeddings", "encoder")
PRETRAINING = ("pooler", "mlm", "nsp")

# Tensors stored twice in a state dict; the table has the second name.
TWINS = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
BUFFERS = ("bert.embeddings.position_ids", "bert.embeddings.token_type_ids")  # in older checkpoints; not learned


@dataclasses.dataclass(frozen=True)
class Entry:
    """One of our arrays, and its tensors there.

    Attributes:
      ours: path in the parameter tree.
      our_shape: shape of the array.
      theirs: name of the tensor, or names of the three tensors that are one array here.
      their_shape: shape of each tensor.
      join: maps their tensors to our array.
      split: the inverse of `join`.
    """

    ours: str
    our_shape: tuple[int, ...]
    theirs: tuple[str, ...]
    their_shape: tuple[int, ...]
    join: Callable[[Sequence[np.ndarray]], np.ndarray]
    split: Callable[[np.ndarray], list[np.ndarray]]


def _array(ours: str, theirs: str, *shape: int) -> Entry:
    return Entry(ours, shape, (theirs,), shape, lambda parts: parts[0], lambda array: [array])


def _norm(ours: str, theirs: str, size: int) -> list[Entry]:
    return [_array(f"{ours}/scale", f"{theirs}.weight", size), _array(f"{ours}/bias", f"{theirs}.bias", size)]


def _linear(ours: str, theirs: str | tuple[str, ...], inputs: tuple[int, ...], outputs: tuple[int, ...]) -> list[Entry]:
    """Maps a kernel [*inputs, *outputs] to a weight [outputs, inputs]; layers are stacked before our last axis."""
    names = (theirs,) if isinstance(theirs, str) else theirs
    fan_in, fan_out = prod(inputs), prod(outputs)
    fused = outputs if len(names) == 1 else (*outputs[:-1], len(names), outputs[-1])

    def join(parts: Sequence[np.ndarray]) -> np.ndarray:
        return parts[0] if len(names) == 1 else np.stack(parts, axis=-2)

    def cut(array: np.ndarray) -> list[np.ndarray]:
        return [array] if len(names) == 1 else [array[..., i, :] for i in range(len(names))]

    return [
        Entry(
            f"{ours}/kernel",
            (*inputs, *fused),
            tuple(f"{name}.weight" for name in names),
            (fan_out, fan_in),
            lambda parts: join([part.T.reshape(*inputs, *outputs) for part in parts]),
            lambda array: [part.reshape(fan_in, fan_out).T for part in cut(array)],
        ),
        Entry(
            f"{ours}/bias",
            fused,
            tuple(f"{name}.bias" for name in names),
            (fan_out,),
            lambda parts: join([part.reshape(outputs) for part in parts]),
            lambda array: [part.reshape(fan_out) for part in cut(array)],
        ),
    ]


def name_table(config: ModelConfig, num_labels: int = 0) -> dict[str, list[Entry]]:
    """Returns all arrays of a model, by part; `num_labels` is that of the head `label`, if there is one."""
    assert config.vocab_size is not None, "checked by the callers"
    size, inner, heads = config.hidden_size, config.feed_forward_size, (config.num_heads, config.head_size)
    ours, theirs = "bert/embeddings/", "bert.embeddings."
    table = {
        "embeddings": [
            _array(f"{ours}word", f"{theirs}word_embeddings.weight", config.vocab_size, size),
            _array(f"{ours}token_type", f"{theirs}token_type_embeddings.weight", config.num_token_types, size),
            _array(f"{ours}position", f"{theirs}position_embeddings.weight", config.max_positions, size),
            *_norm(f"{ours}layer_norm", f"{theirs}LayerNorm", size),
        ],
        "encoder": [],
        "pooler": _linear("bert/pooler/dense", "bert.pooler.dense", (size,), (size,)),
        "mlm": [
            *_linear("mlm/transform", "cls.predictions.transform.dense", (size,), (size,)),
            *_norm("mlm/norm", "cls.predictions.transform.LayerNorm", size),
            _array("mlm/bias", "cls.predictions.bias", config.vocab_size),
        ],
        "nsp": _linear("nsp/dense", "cls.seq_relationship", (size,), (2,)),
        "label": _linear("label/dense", "classifier", (size,), (num_labels,)),
        "span": _linear("span/dense", "qa_outputs", (size,), (2,)),
    }
    for layer in range(config.num_layers):
        ours, theirs = f"bert/encoder/layer_{layer}/", f"bert.encoder.layer.{layer}."
        query_key_value = tuple(f"{theirs}attention.self.{name}" for name in ("query", "key", "value"))
        table["encoder"] += [
            *_linear(f"{ours}attention/query_key_value", query_key_value, (size,), heads),
            *_linear(f"{ours}attention/output", f"{theirs}attention.output.dense", heads, (size,)),
            *_norm(f"{ours}attention_norm", f"{theirs}attention.output.LayerNorm", size),
            *_linear(f"{ours}feed_forward/intermediate", f"{theirs}intermediate.dense", (size,), (inner,)),
            *_linear(f"{ours}feed_forward/output", f"{theirs}output.dense", (inner,), (size,)),
            *_norm(f"{ours}feed_forward_norm", f"{theirs}output.LayerNorm", size),
        ]
    return table


def from_hugging_face(tensors: Tensors, config: ModelConfig, parts: tuple[str, ...] = PRETRAINING) -> dict[str, Any]:
    """Converts a state dict of `BertForPreTraining`, or of another BERT, to parameters.

    Names may have the prefix `bert.` or not, layer norms may be called `gamma` and `beta`, the decoder may have its own
    copy of the word table, there may be buffers, and any floating-point dtype is accepted.

    Args:
      tensors: arrays by name; parts not in `parts` are ignored.
      config: config of the model, for example from `config_from_hugging_face`.
      parts: the parts to read besides embeddings and encoder: `pooler`, `mlm`, `nsp`, `label` (the `classifier` of
        examples, tokens or choices), `span`.

    Returns:
      float32 arrays, as a parameter tree for a `bert_jax.model.composite.Composite` with heads of these names.

    Raises:
      CheckpointError: a tensor is missing, unknown, duplicate, not finite, or has the wrong shape.
      ConfigError: Hugging Face's BERT does not support the config.
    """
    _check_expressible(config)
    if config.positions != "learned":
        raise ConfigError(
            f"model.positions={config.positions} has no position table to read into: use model.positions=learned."
        )
    tensors = _canonical(tensors)
    bias = tensors.get("classifier.bias")
    table = name_table(config, 0 if bias is None else bias.size)
    known = {name for entries in table.values() for entry in entries for name in entry.theirs}
    if unknown := sorted(tensors.keys() - known):
        raise CheckpointError(
            f"The checkpoint has {_some(unknown)}, which this config does not have: check num_layers and the kind of"
            " model."
        )
    wanted = [entry for part in (*BODY, *parts) for entry in table[part]]
    if missing := [name for entry in wanted for name in entry.theirs if name not in tensors]:
        raise CheckpointError(f"The checkpoint lacks {_some(missing)}: check the config, or ask for fewer parts.")
    params = {}
    for entry in wanted:
        found = [_checked(name, tensors[name], entry.their_shape) for name in entry.theirs]
        params[entry.ours] = np.ascontiguousarray(entry.join(found))
    return flax.traverse_util.unflatten_dict(params, sep="/")


def to_hugging_face(params: Any, config: ModelConfig) -> Tensors:
    """Converts parameters to a state dict of `BertForPreTraining`, or of the model whose parts are in `params`.

    The inverse of `from_hugging_face`. Positions that are not learned become a position table, so that both models
    compute the same.

    Returns:
      float32 arrays by name. With `mlm`, the decoder's copies (`TWINS`) share memory with the originals.

    Raises:
      CheckpointError: an array is missing, unknown, not finite, or has the wrong shape.
      ConfigError: Hugging Face's BERT does not support the model.
    """
    _check_expressible(config)
    arrays: dict[str, Any] = dict(flax.traverse_util.flatten_dict(params, sep="/"))
    if config.positions != "learned":
        positions = jnp.arange(config.max_positions)
        fixed = fixed_positions(config, positions) if config.positions == "sinusoidal" else None
        empty = np.zeros((config.max_positions, config.hidden_size))
        arrays["bert/embeddings/position"] = empty if fixed is None else np.asarray(fixed)
    for head in ("nsp", "label"):
        if head in params and config.pooling != "cls":
            raise ConfigError(
                f"Hugging Face's BERT has no model.pooling={config.pooling}, which {head!r} reads: remove {head!r} from"
                " the parameters, or, if it labels tokens, pass a config with model.pooling=cls."
            )
    bias = arrays.get("label/dense/bias")
    table = name_table(config, 0 if bias is None else bias.size)
    present = [part for part, entries in table.items() if part in BODY or any(e.ours in arrays for e in entries)]
    wanted = [entry for part in present for entry in table[part]]
    if unknown := sorted(arrays.keys() - {entry.ours for entry in wanted}):
        raise CheckpointError(
            f"The parameters have {_some(unknown)}, which this config does not have: check the config."
        )
    if missing := [entry.ours for entry in wanted if entry.ours not in arrays]:
        raise CheckpointError(f"The parameters lack {_some(missing)}: check the config.")
    tensors = {}
    for entry in wanted:
        array = _checked(entry.ours, np.asarray(arrays[entry.ours]), entry.our_shape)
        for name, part in zip(entry.theirs, entry.split(array), strict=True):
            tensors[name] = np.ascontiguousarray(part)
    return tensors | ({twin: tensors[name] for twin, name in TWINS.items()} if "mlm" in present else {})


def _canonical(tensors: Tensors) -> Tensors:
    """Renames tensors to the names in the table, and drops buffers and twins."""
    result: Tensors = {}
    for name, value in tensors.items():
        plain = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
        plain = re.sub(r"^(?=(embeddings|encoder|pooler)\.)", "bert.", plain)
        if plain in result:
            raise CheckpointError(f"The checkpoint has {plain} twice, once as {name}: remove one of them.")
        if plain not in BUFFERS:
            result[plain] = value
    for twin, name in TWINS.items():
        if twin in result and not np.array_equal(result[twin], result.setdefault(name, result[twin])):
            raise CheckpointError(
                f"{twin} is not equal to {name}: models with a separate output table are not supported."
            )
        result.pop(twin, None)
    return result


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Converts `value` to float32.

    Raises:
      CheckpointError: the shape is wrong, or the numbers are not floating-point or not finite.
    """
    if value.shape != shape:
        raise CheckpointError(f"{name} has the shape {list(value.shape)} where the config asks for {list(shape)}.")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise CheckpointError(
            f"{name} holds {value.dtype}, not floating-point numbers: quantised models are not supported."
        )
    value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise CheckpointError(f"{name} holds numbers that are not finite: the checkpoint is damaged.")
    return value


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _check_expressible(config: ModelConfig) -> None:
    if config.norm_position != "post":
        raise ConfigError(
            f"model.norm_position={config.norm_position} does not exist in Hugging Face's BERT: only post does."
        )
    if config.vocab_size is None:
        raise ConfigError("model.vocab_size is empty: give the number of tokens.")


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
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
# Options of theirs for which only one value is supported.
FIXED = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def config_from_hugging_face(values: dict[str, Any]) -> ModelConfig:
    """Converts the contents of a Hugging Face `config.json`; fields that do not concern the encoder are ignored.

    Raises:
      ConfigError: the model is not BERT, or a value is missing or of another type.
    """
    for name, only in FIXED.items():
        if values.get(name, only) != only:
            raise ConfigError(f"{name}={values[name]!r} is not supported: only {only!r} is.")
    if missing := [name for name in SHAPES if name not in values]:
        raise ConfigError(f"The config lacks {_some(missing)}: add it.")
    config = ModelConfig()
    for theirs, ours in (SHAPES | RATES).items():
        if theirs in values:
            configuration.replace(config, ours, values[theirs])
    activation = values.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise ConfigError(f"hidden_act={activation!r} is not one of {', '.join(ACTIVATIONS)}.")
    config.activation = ACTIVATIONS[activation]
    if problems := config.problems():
        raise ConfigError("\n".join(problems))
    return config


def config_to_hugging_face(config: ModelConfig) -> dict[str, Any]:
    """Converts a config to the contents of a `config.json`; the inverse of `config_from_hugging_face`.

    Raises:
      ConfigError: Hugging Face's BERT does not support the model.
    """
    _check_expressible(config)
    values = {theirs: getattr(config, ours) for theirs, ours in (SHAPES | RATES).items()}
    values["intermediate_size"] = config.feed_forward_size
    values["hidden_act"] = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation)
    return {"model_type": FIXED["model_type"], **values}
