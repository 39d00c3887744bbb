"""The learning rate of each layer, relative to the run's: lower layers change less, heads as fast as you like."""

import re
from collections.abc import Callable
from typing import Any

import jax
import optax

from bert_jax.optim.lora import base_path
from bert_jax.optim.parameters import path_names
from bert_jax.optim.widths import describe_widths

# Maps the names on a parameter's path to its layer: embeddings, layer_0, …, pooler, or the name of a head.
LayerOf = Callable[[tuple[str, ...]], str]
BODY = "bert"  # the branch of the parameters that is no head


def encoder_layers(params: Any, layer_of: LayerOf) -> list[str]:
    """Returns the encoder's layers in a tree of parameters: `layer_0`, `layer_1`, …, from the lowest up."""
    found = {layer_of(base_path(path_names(path))) for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    return sorted((layer for layer in found if re.fullmatch(r"layer_\d+", layer)), key=_number)


def _number(layer: str) -> int:
    return int(layer.removeprefix("layer_"))


def rate_factors(params: Any, layer_of: LayerOf, layer_decay: float, head_rate: float) -> dict[str, float]:
    """Returns the factor of each layer's learning rate, by the name of the layer, in tree order.

    With decay d and L encoder layers, these are d^(L + 1) for the embeddings, d^L for the lowest layer, d for the
    highest, and 1 for the pooler. So they are in BEiT's fine-tuning (Bao et al. 2021, arXiv 2106.08254,
    `optim_factory.py`); the idea is ULMFiT's (Howard & Ruder 2018, arXiv 1801.06146), whose d is 1 / 2.6. ELECTRA's
    code has one more factor of d in each. Heads have `head_rate`.
    """
    top = len(encoder_layers(params, layer_of))
    found = {}
    for path, _ in jax.tree_util.tree_leaves_with_path(params):
        names = base_path(path_names(path))
        layer = layer_of(names)
        if names[0] != BODY:
            found[layer] = head_rate
        elif layer == "embeddings":
            found[layer] = layer_decay ** (top + 1)
        else:
            found[layer] = layer_decay ** (top - _number(layer)) if re.fullmatch(r"layer_\d+", layer) else 1.0
    return found


def scale_by_layer(layer_of: LayerOf, layer_decay: float, head_rate: float) -> optax.GradientTransformation:
    """Multiplies each update by the factor of its layer; see `rate_factors`."""

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        factors = rate_factors(params, layer_of, layer_decay, head_rate)

        def one(path: tuple, update: jax.Array) -> jax.Array:
            return update * factors[layer_of(base_path(path_names(path)))]

        return jax.tree_util.tree_map_with_path(one, updates), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def describe_rates(params: Any, layer_of: LayerOf, config: Any) -> list[str]:
    """Describes the peak rates of the first phase and the factors of `base_width`; no line if all are the same.

    Args:
      params: the parameters.
      layer_of: maps the names on a path to a layer.
      config: an `OptimizerConfig`.
    """
    widths = describe_widths(params, config.base_width, config.name == "muon")
    if config.layer_decay == config.head_rate == 1:
        return widths
    factors = rate_factors(params, layer_of, config.layer_decay, config.head_rate)
    layers = encoder_layers(params, layer_of)

    def rate(factor: float) -> str:
        return f"{config.learning_rate * factor:.3g}"

    ends = ["embeddings", *layers[-1:]] if config.layer_decay != 1 else []
    body = " … ".join(f"{layer.replace('_', ' ')} {rate(factors[layer])}" for layer in ends) or f"body {rate(1)}"
    return [f"rates        {body}, heads {rate(config.head_rate)}", *widths]
