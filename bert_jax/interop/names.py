"""The names of all parameters in Hugging Face `transformers`: one table for reading and writing.

The table has the names of `BertForPreTraining` and of the other BERT models. RoBERTa, XLM-R and DistilBERT have the
same body: their names are first changed to these (`canonical_names`).
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from math import prod

import numpy as np

from bert_jax.errors import CheckpointError, quoted
from bert_jax.model.config import ModelConfig

BODY = ("embeddings", "encoder")
# Tensors stored twice in a state dict; the table has the second name.
TWINS = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
# Stored in older checkpoints, but not learned.
BUFFER = re.compile(r"(^|\.)embeddings\.(position_ids|token_type_ids)$")
WORD_TABLE = "embeddings.word_embeddings.weight"
LAYER = re.compile(r"^bert\.encoder\.layer\.(\d{1,6})\.")


@dataclasses.dataclass(frozen=True)
class Family:
    """Models with BERT's body under other names.

    Attributes:
      base: the name of the body in a model with heads.
      renames: patterns of names and BERT's names for them, applied in order, after the body is called `bert`.
      first_position: the row of the position table that the first token uses.
      has_token_types: whether there is a table of token types.
      refused: names that only models with other arithmetic have, and what is different in them.
    """

    base: str
    renames: tuple[tuple[str, str], ...] = ()
    first_position: int = 0
    has_token_types: bool = True
    refused: tuple[tuple[str, str], ...] = ()


_ROBERTA = Family(
    "roberta",
    (
        (r"^lm_head\.dense\.", "cls.predictions.transform.dense."),
        (r"^lm_head\.layer_norm\.", "cls.predictions.transform.LayerNorm."),
        (r"^lm_head\.decoder\.", "cls.predictions.decoder."),
        (r"^lm_head\.bias$", "cls.predictions.bias"),
        # Its classifier begins with what is the pooler in BERT.
        (r"^classifier\.dense\.", "bert.pooler.dense."),
        (r"^classifier\.out_proj\.", "classifier."),
    ),
    first_position=2,
)
FAMILIES = {
    "bert": Family("bert"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": Family(
        "distilbert",
        (
            (r"^bert\.transformer\.layer\.", "bert.encoder.layer."),
            (r"\.attention\.q_lin\.", ".attention.self.query."),
            (r"\.attention\.k_lin\.", ".attention.self.key."),
            (r"\.attention\.v_lin\.", ".attention.self.value."),
            (r"\.attention\.out_lin\.", ".attention.output.dense."),
            (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
            (r"\.ffn\.lin1\.", ".intermediate.dense."),
            (r"\.ffn\.lin2\.", ".output.dense."),
            (r"\.output_layer_norm\.", ".output.LayerNorm."),
            (r"^vocab_transform\.", "cls.predictions.transform.dense."),
            (r"^vocab_layer_norm\.", "cls.predictions.transform.LayerNorm."),
            (r"^vocab_projector\.bias$", "cls.predictions.bias"),
            (r"^vocab_projector\.", "cls.predictions.decoder."),
        ),
        has_token_types=False,
        refused=(("pre_classifier.weight", "a ReLU before its classifier"),),
    ),
}


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


def _token_types(ours: str, theirs: str, config: ModelConfig, family: Family) -> Entry:
    shape = (config.num_token_types, config.hidden_size)
    if family.has_token_types:
        return _array(ours, theirs, *shape)
    return Entry(ours, shape, (), shape, lambda parts: np.zeros(shape, np.float32), lambda array: [])


def _positions(ours: str, theirs: str, config: ModelConfig, family: Family) -> Entry:
    first, shape = family.first_position, (config.max_positions, config.hidden_size)
    return Entry(
        ours,
        shape,
        (theirs,),
        (shape[0] + first, shape[1]),
        lambda parts: parts[0][first:],
        lambda array: [np.pad(array, ((first, 0), (0, 0)))],
    )


def name_table(
    config: ModelConfig, num_labels: int = 0, family: Family = FAMILIES["bert"], classifier: str = "label"
) -> dict[str, list[Entry]]:
    """Returns all arrays of a model, by part.

    Args:
      config: the config of the model.
      num_labels: the number of labels of its `classifier`, if there is one.
      family: the naming scheme.
      classifier: the head that is called `classifier` there: `label`, or `choice`, which has one output.
    """
    assert config.vocab_size is not None, "checked by the callers"
    size, inner, heads = config.hidden_size, config.feed_forward_size, (config.num_heads, config.head_size)
    ours, theirs = "bert/embeddings/", "bert.embeddings."
    table = {
        "embeddings": [
            _array(f"{ours}word", f"{theirs}word_embeddings.weight", config.vocab_size, size),
            _token_types(f"{ours}token_type", f"{theirs}token_type_embeddings.weight", config, family),
            _positions(f"{ours}position", f"{theirs}position_embeddings.weight", config, family),
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
        classifier: _linear(
            f"{classifier}/dense", "classifier", (size,), (1 if classifier == "choice" else num_labels,)
        ),
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


def canonical_names(names: Iterable[str], family: Family) -> dict[str, str]:
    """Returns the names of a file's tensors by their names in the table; buffers are left out.

    A prefix that all names have in front of the model is taken off, such as `module.` or `0.auto_model.`. Layer norms
    may call their weights `gamma` and `beta`. Names that are not in the table are kept as they are.

    Raises:
      CheckpointError: there is no word table, or several, or two tensors have the same place.
    """
    names = [name for name in names if not BUFFER.search(name)]
    tables = [name for name in names if name == WORD_TABLE or name.endswith("." + WORD_TABLE)]
    if len(tables) != 1:
        found = f"{len(tables)}: {quoted(tables[0])} and others" if tables else "none"
        raise CheckpointError(
            f"The weights should have one tensor {WORD_TABLE}, but have {found}: no such model is read."
        )
    body = tables[0].removesuffix(WORD_TABLE)
    outer = body.removesuffix(f"{family.base}.")
    result: dict[str, str] = {}
    for name in names:
        inside = name.removeprefix(body)
        if name.startswith(body) and re.match(r"(embeddings|encoder|pooler|transformer)\.", inside):
            plain = f"bert.{inside}"
        else:
            plain = name.removeprefix(outer).removeprefix(f"{family.base}.")
        plain = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", plain))
        for pattern, replacement in family.renames:
            plain = re.sub(pattern, replacement, plain)
        if plain in result:
            raise CheckpointError(f"The weights have {quoted(name)} and {quoted(result[plain])}, which mean the same.")
        result[plain] = name
    for ending, what in family.refused:
        if ending in result:
            raise CheckpointError(f"The weights have {quoted(result[ending])}: models with {what} are not supported.")
    return result


def num_layers(names: Iterable[str]) -> int:
    """Returns one more than the highest number of a layer among names of the table."""
    return max((int(match[1]) + 1 for name in names if (match := LAYER.match(name))), default=0)
