"""Parameters and configs to and from Hugging Face `transformers` BERT, by one table of names that is read both ways.

Tensors are numpy arrays by their names in `state_dict()`; how they are stored in files is not decided here.
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
from bert_jax.model.embeddings import fixed_positions

Tensors = dict[str, np.ndarray]

BODY = ("embeddings", "encoder")
PRETRAINING = ("pooler", "mlm", "nsp")

# Stored twice in a state dict: the second name is the one that counts.
TWINS = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
BUFFERS = ("bert.embeddings.position_ids", "bert.embeddings.token_type_ids")  # in older checkpoints; nothing learnt


@dataclasses.dataclass(frozen=True)
class Entry:
    """One of our arrays and what it is called there.

    Attributes:
      ours: path in the parameter tree, and the array's shape.
      theirs: name of the tensor, or names of the three that we keep as one, and the shape of each.
      join: their tensors to our array.
      split: the inverse.
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
    """Kernel [*inputs, *outputs] against weight [outputs, inputs]; several layers are one before our last axis."""
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
    """All arrays of a model, by part; `num_labels` of its classifier, if it has one."""
    size, inner, heads = config.hidden_size, config.feed_forward_size, (config.num_heads, config.head_size)
    ours, theirs = "bert/embeddings/", "bert.embeddings."
    table = {
        "embeddings": [
            _array(f"{ours}word", f"{theirs}word_embeddings.weight", config.vocab_size, size),
            _array(f"{ours}segment", f"{theirs}token_type_embeddings.weight", config.num_segments, size),
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
        "classifier": _linear("classifier/dense", "classifier", (size,), (num_labels,)),
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
    """Parameters from a state dict of `BertForPreTraining`, or of another BERT.

    Names with or without `bert.` in front, layer norms called `gamma` and `beta`, the decoder with or without its own
    copy of the word table, buffers, and any floating type are understood.

    Args:
      tensors: arrays by name; those of other parts than `parts` are left alone.
      config: of the model, for example from `config_from_hugging_face`.
      parts: what to read besides embeddings and encoder: `pooler`, `mlm`, `nsp`, `classifier` (of examples, tokens or
        choices), `span`.

    Returns:
      float32 arrays, the tree that the composites of `bert_jax.model.bert` take.

    Raises:
      CheckpointError: a tensor that is missing, unknown, there twice, misshapen or not finite.
      ConfigError: a config that Hugging Face's BERT does not have.
    """
    _check_expressible(config)
    if config.positions != "learned":
        raise ConfigError(f"model.positions={config.positions} has no table to read into: use model.positions=learned.")
    tensors = _canonical(tensors)
    classifier = tensors.get("classifier.bias")
    table = name_table(config, 0 if classifier is None else classifier.size)
    known = {name for entries in table.values() for entry in entries for name in entry.theirs}
    if unknown := sorted(tensors.keys() - known):
        raise CheckpointError(
            f"The checkpoint has {_some(unknown)}, which this config has no place for: check num_layers and the kind"
            " of model."
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
    """The state dict of `BertForPreTraining`, or of the model whose parts are in `params`: the inverse.

    Positions that are not learned become a position table, so that the model computes the same there.

    Returns:
      float32 arrays; with `mlm`, the decoder's own copies (`TWINS`) share their memory with the arrays they repeat.

    Raises:
      CheckpointError: an array that is missing, unknown, misshapen or not finite.
      ConfigError: a model that Hugging Face's BERT cannot be.
    """
    _check_expressible(config)
    arrays = flax.traverse_util.flatten_dict(params, sep="/")
    if config.positions != "learned":
        positions = np.arange(config.max_positions)
        fixed = fixed_positions(config, positions) if config.positions == "sinusoidal" else None
        empty = np.zeros((config.max_positions, config.hidden_size))
        arrays["bert/embeddings/position"] = empty if fixed is None else np.asarray(fixed)
    for head in ("nsp", "classifier"):
        if head in params and config.pooling != "cls":
            raise ConfigError(
                f"Hugging Face's BERT has no model.pooling={config.pooling} for {head!r} to read: take {head!r} out of"
                " the parameters, or, if it classifies tokens, pass a config with model.pooling=cls."
            )
    classifier = arrays.get("classifier/dense/bias")
    table = name_table(config, 0 if classifier is None else classifier.size)
    present = [part for part, entries in table.items() if part in BODY or any(e.ours in arrays for e in entries)]
    wanted = [entry for part in present for entry in table[part]]
    if unknown := sorted(arrays.keys() - {entry.ours for entry in wanted}):
        raise CheckpointError(f"The parameters have {_some(unknown)}, which this config has no place for.")
    if missing := [entry.ours for entry in wanted if entry.ours not in arrays]:
        raise CheckpointError(f"The parameters lack {_some(missing)}: check the config.")
    tensors = {}
    for entry in wanted:
        array = _checked(entry.ours, np.asarray(arrays[entry.ours]), entry.our_shape)
        for name, part in zip(entry.theirs, entry.split(array), strict=True):
            tensors[name] = np.ascontiguousarray(part)
    return tensors | ({twin: tensors[name] for twin, name in TWINS.items()} if "mlm" in present else {})


def _canonical(tensors: Tensors) -> Tensors:
    """The same tensors by the names in the table, without buffers and twins."""
    result: Tensors = {}
    for name, value in tensors.items():
        plain = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
        plain = re.sub(r"^(?=(embeddings|encoder|pooler)\.)", "bert.", plain)
        if plain in result:
            raise CheckpointError(f"The checkpoint has {plain} twice, once as {name}: take one of them out.")
        if plain not in BUFFERS:
            result[plain] = value
    for twin, name in TWINS.items():
        if twin in result and not np.array_equal(result[twin], result.setdefault(name, result[twin])):
            raise CheckpointError(
                f"{twin} is not equal to {name}: a model with an output table of its own is not read."
            )
        result.pop(twin, None)
    return result


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`value` as float32.

    Raises:
      CheckpointError: another shape, another kind of number, or numbers that are not finite.
    """
    if value.shape != shape:
        raise CheckpointError(f"{name} has the shape {list(value.shape)} where the config asks for {list(shape)}.")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise CheckpointError(f"{name} holds {value.dtype}, not floating numbers: quantised models are not read.")
    value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise CheckpointError(f"{name} holds numbers that are not finite: the checkpoint is damaged.")
    return value


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _check_expressible(config: ModelConfig) -> None:
    if config.norm_position != "post":
        raise ConfigError(f"model.norm_position={config.norm_position} does not exist in Hugging Face's BERT.")
    if config.vocab_size is None:
        raise ConfigError("model.vocab_size is empty: give the number of tokens.")


# theirs -> ours; the first ones decide shapes and have to be there, the others have the same default on both sides.
SHAPES = {
    "vocab_size": "vocab_size",
    "num_hidden_layers": "num_layers",
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_heads",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "max_positions",
    "type_vocab_size": "num_segments",
}
RATES = {
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "layer_norm_eps": "layer_norm_epsilon",
    "initializer_range": "initializer_range",
}
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
# Switches of theirs that we have at one position only.
FIXED = {
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def config_from_hugging_face(values: dict[str, Any]) -> ModelConfig:
    """The config that a `config.json` of Hugging Face describes; what says nothing about the encoder is not read.

    Raises:
      ConfigError: a model that is not BERT, or a value that is missing or of another type.
    """
    for name, only in FIXED.items():
        if values.get(name, only) != only:
            raise ConfigError(f"{name}={values[name]!r} is not supported: only {only!r} is.")
    if missing := [name for name in SHAPES if name not in values]:
        raise ConfigError(f"The config lacks {_some(missing)}.")
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
    """The same as a dictionary for `config.json`; the inverse.

    Raises:
      ConfigError: a model that Hugging Face's BERT cannot be.
    """
    _check_expressible(config)
    values = {theirs: getattr(config, ours) for theirs, ours in (SHAPES | RATES).items()}
    values["intermediate_size"] = config.feed_forward_size
    values["hidden_act"] = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == config.activation)
    return {"model_type": FIXED["model_type"], **values}
