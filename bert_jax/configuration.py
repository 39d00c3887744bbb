"""Nested dataclass configs as dotted fields and as JSON. Each section is defined beside what it configures."""

import dataclasses
import inspect
import io
import shlex
import tokenize
import types
import typing
from typing import Any

from bert_jax.errors import ConfigError, did_you_mean


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


def meanings(cls: type, prefix: str = "") -> dict[str, str]:
    """What the comments in the source say about each leaf field, as {"section.name": comment}.

    A field's comment is on its line, or in the lines right above it, or both.
    """
    found = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            found |= {name: text for name, text in _comments(base).items() if name in base.__annotations__}
    leaves = {}
    for name, annotation in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(annotation):
            leaves |= meanings(annotation, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = found.get(name, "")
    return leaves


def _comments(cls: type) -> dict[str, str]:
    """The comments of each line that begins with a name and a colon, as {name: comment}."""
    found: dict[str, str] = {}
    above: list[str] = []
    line: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(cls)).readline):
        if token.type == tokenize.COMMENT:
            above.append(token.string.lstrip("# "))
        elif token.type == tokenize.NEWLINE:
            if [part.string for part in line[1:2]] == [":"]:
                found[line[0].string] = " ".join(above)
            above, line = [], []
        elif token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            line.append(token)
    return found


def lines(config: Any, width: int = 116) -> list[str]:
    """The complete config for a person: a line or more for each section, `name=value` as a shell would take it."""
    shown = []
    for section in dataclasses.fields(config):
        line = f"  {section.name:<12}"
        for name, value in fields(getattr(config, section.name)).items():
            part = f" {name}={shlex.quote(as_text(value))}"
            if len(line + part) > width:
                shown.append(line)
                line = " " * 14
            line += part
        shown.append(line)
    return shown


def as_text(value: Any) -> str:
    """A field's value as it is given in a flag."""
    return NONE if value is None else str(value).lower() if isinstance(value, bool) else str(value)


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


NONE = "none"  # how an empty optional field is written


def parse(config: Any, dotted: str, text: str) -> Any:
    """The value that `text` stands for in a leaf field: `none` where the field may be empty, `true` and `false`.

    Raises:
      ConfigError: no such field, or text of another type.
    """
    _check_known(config, dotted)
    plain, optional = field_type(config, dotted)
    if optional and text.lower() == NONE:
        return None
    try:
        if plain is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return plain(text)
    except (ValueError, KeyError):
        raise ConfigError(f"{dotted}={text!r} must be {plain.__name__}{' or none' if optional else ''}.") from None


def _check_known(config: Any, dotted: str) -> None:
    if dotted not in fields(config):
        raise ConfigError(f"There is no config field {dotted!r}.{did_you_mean(dotted, fields(config))}")


def replace(config: Any, dotted: str, value: Any) -> None:
    """Sets one leaf field in place.

    Raises:
      ConfigError: no such field, or a value of another type.
    """
    _check_known(config, dotted)
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


def check_types(config: Any) -> None:
    """Compares what a config holds with what its dataclasses declare; whole numbers become the floats that are meant.

    Raises:
      ConfigError: all attributes that are no fields, and all values of another type, a sentence each.
    """
    if problems := _type_problems(config, ""):
        raise ConfigError("\n".join(problems))


def _type_problems(section: Any, prefix: str) -> list[str]:
    types_of = typing.get_type_hints(type(section))
    names = [field.name for field in dataclasses.fields(section)]
    found = [
        f"There is no config field {prefix + name!r}.{did_you_mean(name, names)}"
        for name in vars(section)
        if name not in names
    ]
    for name in names:
        value = getattr(section, name)
        if not dataclasses.is_dataclass(types_of[name]):
            try:
                replace(section, name, value)
            except ConfigError as error:
                found.append(prefix + str(error))
        elif isinstance(value, types_of[name]):
            found += _type_problems(value, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}={value!r} must be a {types_of[name].__name__}.")
    return found


STAGES_FORM = "STEP: field=value field=value; STEP: …"


def stages(config: Any, text: str, where: str, fixed: tuple[str, ...]) -> list[tuple[int, Any]]:
    """A config that changes at given steps: each stage keeps what it does not name from the one before.

    Args:
      config: a flat dataclass, as it is from step 0 on.
      text: `90000: sequence_length=512 batch_size=64; 95000: mask_rate=0.1`: when so many steps are done, fields take
        other values. Spaces separate fields, semicolons stages.
      where: the field that `text` is from, for messages.
      fixed: fields that may not change.

    Returns:
      (first step, config) of each stage, the given one first.

    Raises:
      ConfigError: another form, an unknown field, a value of another type, or steps that do not rise.
    """
    result = [(0, config)]
    for stage in filter(None, (part.strip() for part in text.split(";"))):
        step, colon, changes = stage.partition(":")
        if not colon or not step.strip().isdecimal() or not changes.split():
            raise ConfigError(f"{where} has {stage!r}, which is not of the form {STAGES_FORM!r}.")
        start = int(step)
        if start <= result[-1][0]:
            raise ConfigError(f"{where}: step {start} does not come after step {result[-1][0]}.")
        changed = dataclasses.replace(result[-1][1])
        for change in changes.split():
            name, equals, value = change.partition("=")
            if not equals or name in fixed:
                raise ConfigError(
                    f"{where} has {change!r}: a stage takes field=value, without spaces in the value, and not"
                    f" {' or '.join(fixed)}."
                )
            try:
                replace(changed, name, parse(changed, name, value))
            except ConfigError as error:
                raise ConfigError(f"{where}, step {start}: {error}") from None
        result.append((start, changed))
    return result


def from_dict(cls: type, values: dict[str, Any]) -> Any:
    """The config that `dataclasses.asdict` was made from; one that is not named has its default.

    Raises:
      ConfigError: unknown fields, or values of another type.
    """
    if not isinstance(values, dict):
        raise ConfigError("It holds no fields.")
    config = cls()
    for dotted, value in _flatten(values).items():
        replace(config, dotted, value)
    return config


def _flatten(values: dict, prefix: str = "") -> dict[str, Any]:
    leaves = {}
    for name, value in values.items():
        leaves |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves
