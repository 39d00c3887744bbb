"""Rotary positions in a `config.json`: `rope_parameters`, and the fields that older versions wrote."""

from collections.abc import Mapping
from typing import Any

from bert_jax.errors import ConfigError, quoted
from bert_jax.interop.families.config_fields import set_field
from bert_jax.model.config import ModelConfig


def read_rope(config: ModelConfig, parameters: Any, base: Any, where: str = "rope_parameters") -> None:
    """Sets `rotary_base` and `rotary_scale` of a config.

    Args:
      config: changed in place.
      parameters: the object that describes one kind of rotary positions.
      base: what `rope_theta` is if the object has none.
      where: the name of the object, for messages.

    Raises:
      ConfigError: the positions are of another kind, or a value is of another type.
    """
    if not isinstance(parameters, Mapping):
        raise ConfigError(f"config.json has {where}={quoted(parameters)}, not an object.")
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind not in ("default", "linear"):
        raise ConfigError(f"{where} has rope_type={quoted(kind)}: only default and linear are supported.")
    if (share := parameters.get("partial_rotary_factor", 1.0)) != 1.0:
        raise ConfigError(f"{where} has partial_rotary_factor={quoted(share)}: only 1.0 is supported.")
    set_field(config, "rotary_base", "rope_theta", parameters.get("rope_theta", base))
    set_field(config, "rotary_scale", "factor", parameters.get("factor", 1.0) if kind == "linear" else 1.0)


def read_only_rope(config: ModelConfig, values: Mapping[str, Any], base: float) -> None:
    """Sets the rotary positions of a model whose layers are all alike.

    Args:
      config: changed in place.
      values: the contents of `config.json`.
      base: what `rope_theta` is if nothing says so.

    Raises:
      ConfigError: see `read_rope`.
    """
    name = "rope_scaling" if values.get("rope_scaling") else "rope_parameters"
    read_rope(config, values.get(name, {}), values.get("rope_theta", base), name)


def write_rope(config: ModelConfig, base: float) -> dict[str, Any]:
    """Returns the object that describes rotary positions with a base."""
    scale = {} if config.rotary_scale == 1 else {"factor": config.rotary_scale}
    return {"rope_type": "linear" if scale else "default", "rope_theta": base, **scale}


def check_head_size(config: ModelConfig, values: Mapping[str, Any]) -> None:
    """Checks that heads share the hidden width.

    Raises:
      ConfigError: `head_dim` says otherwise.
    """
    if values.get("head_dim", size := config.hidden_size // max(config.num_heads, 1)) != size:
        raise ConfigError(
            f"head_dim={quoted(values['head_dim'])} is not supported: only hidden_size / num_attention_heads is."
        )
