"""Nested dataclass configs as dotted fields and as JSON. Each section is defined beside what it configures."""

import dataclasses
import difflib
import types
import typing
from typing import Any

from bert_jax.errors import ConfigError


def fields(config: Any, prefix: str = "") -> dict[str, Any]:
    """All leaf fields as {"section.name": value}, in order."""
    leaves = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            leaves |= fields(value, f"{prefix}{field.name}.")
        else:
            leaves[prefix + field.name] = value
    return leaves


def field_type(config: Any, dotted: str) -> tuple[type, bool]:
    """The plain type of a leaf field, and whether it may be None."""
    *sections, name = dotted.split(".")
    for section in sections:
        config = getattr(config, section)
    annotation = typing.get_type_hints(type(config))[name]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        (plain,) = (option for option in typing.get_args(annotation) if option is not type(None))
        return plain, True
    return annotation, False


def replace(config: Any, dotted: str, value: Any) -> None:
    """Sets one leaf field in place.

    Raises:
      ConfigError: no such field, or a value of another type.
    """
    if dotted not in fields(config):
        near = difflib.get_close_matches(dotted, fields(config), n=1)
        raise ConfigError(f"There is no config field {dotted!r}" + (f": did you mean {near[0]}?" if near else "."))
    plain, optional = field_type(config, dotted)
    if value is None and optional:
        accepted = None
    elif plain is float and type(value) in (int, float):
        accepted = float(value)
    elif type(value) is plain:
        accepted = value
    else:
        raise ConfigError(f"{dotted}={value!r} must be {plain.__name__}{' or none' if optional else ''}.")
    *sections, name = dotted.split(".")
    for section in sections:
        config = getattr(config, section)
    setattr(config, name, accepted)


def from_dict(cls: type, values: dict[str, Any]) -> Any:
    """The config that `dataclasses.asdict` was made from; unknown fields are refused."""
    config = cls()
    for dotted, value in _flatten(values).items():
        replace(config, dotted, value)
    return config


def _flatten(values: dict, prefix: str = "") -> dict[str, Any]:
    leaves = {}
    for name, value in values.items():
        leaves |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves
