"""Nested dataclass configs as dotted fields and as JSON. Each section is defined next to what it configures."""

import dataclasses
import inspect
import io
import shlex
import tokenize
import types
import typing
from collections.abc import Callable, Collection
from typing import Any

from bert_jax.errors import ConfigError, did_you_mean


class Section:
    """A config section that knows which fields were set on it: a value that equals the default may be meant."""

    def __post_init__(self) -> None:
        self._given: set[str] = set()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if "_given" in vars(self):  # not while it is made
            self._given.add(name)

    def is_given(self, name: str) -> bool:
        """Whether a field was set, be it by an assignment, or by another value than the default when it was made."""
        return name in self._given or getattr(self, name) != getattr(type(self)(), name)


def fields(config: Any, prefix: str = "") -> dict[str, Any]:
    """Returns all leaf fields as {"section.name": value}, in order."""
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= fields(value, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = value
    return found


def meanings(cls: type, prefix: str = "") -> dict[str, str]:
    """Returns the source comment of each leaf field, as {"section.name": comment}.

    A field's comment is on its own line, on the lines right above it, or both.
    """
    found = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            found |= {name: text for name, text in _comments(base).items() if name in base.__annotations__}
    texts = {}
    for name, annotation in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(annotation):
            texts |= meanings(annotation, f"{prefix}{name}.")
        else:
            texts[prefix + name] = found.get(name, "")
    return texts


def _comments(cls: type) -> dict[str, str]:
    """Returns the comments of all lines that begin with a name and a colon, as {name: comment}."""
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
    """Formats the complete config for reading: one or more lines per section, with `name=value` quoted for a shell."""
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
    """Formats a field's value as it is written in a flag."""
    return NONE if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def field_type(config: Any, dotted: str) -> tuple[type, bool]:
    """Returns the type of a leaf field without None, and whether the field may be None."""
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
    """Parses the text of a leaf field; `none` is an empty optional field, `true` and `false` are booleans.

    Raises:
      ConfigError: there is no such field, or the text is not of its type.
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
      ConfigError: there is no such field, or the value is not of its type.
    """
    accepted = _accepted(config, dotted, value)
    *sections, name = dotted.split(".")
    for section in sections:
        config = getattr(config, section)
    setattr(config, name, accepted)


def _accepted(config: Any, dotted: str, value: Any) -> Any:
    """Returns the value as the field holds it.

    Raises:
      ConfigError: there is no such field, or the value is not of its type.
    """
    _check_known(config, dotted)
    plain, optional = field_type(config, dotted)
    if value is None and optional:
        return None
    if plain is float and type(value) in (int, float):
        return float(value)
    if type(value) is plain:
        return value
    raise ConfigError(f"{dotted}={value!r} must be {plain.__name__}{' or none' if optional else ''}.")


def clear_alternatives(config: Any, given: Collection[str]) -> None:
    """Sets to None the fields that exclude one of those given, unless they are given, too.

    A section lists such fields in its class attribute `ALTERNATIVES`. So a flag replaces what a recipe sets.

    Args:
      config: changed in place.
      given: dotted names of the fields that the user set.
    """
    for section in dataclasses.fields(config):
        names = [f"{section.name}.{name}" for name in getattr(getattr(config, section.name), "ALTERNATIVES", ())]
        if set(names) & set(given):
            for name in set(names) - set(given):
                replace(config, name, None)


def check_types(config: Any) -> None:
    """Checks the values of a config against the types its dataclasses declare, and turns integers into floats there.

    Raises:
      ConfigError: an attribute is not a field, or a value has the wrong type. All problems are listed, one per line.
    """
    if problems := _type_problems(config, ""):
        raise ConfigError("\n".join(problems))


def _type_problems(section: Any, prefix: str) -> list[str]:
    types_of = typing.get_type_hints(type(section))
    names = [field.name for field in dataclasses.fields(section)]
    found = [
        f"There is no config field {prefix + name!r}.{did_you_mean(name, names)}"
        for name in vars(section)
        if name not in names and name != "_given"
    ]
    for name in names:
        value = getattr(section, name)
        if not dataclasses.is_dataclass(types_of[name]):
            try:
                accepted = _accepted(section, name, value)
            except ConfigError as error:
                found.append(prefix + str(error))
            else:
                if type(accepted) is not type(value):  # an integer for a float
                    setattr(section, name, accepted)
        elif isinstance(value, types_of[name]):
            found += _type_problems(value, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}={value!r} must be a {types_of[name].__name__}.")
    return found


PHASES_FORM = "STEP: field=value field=value; STEP: …"


def split_phases(text: str, where: str) -> list[tuple[int, str]]:
    """Splits the `text` of the field `where` into phases: (first step, changes) each.

    Raises:
      ConfigError: the text is not of the form `PHASES_FORM`.
    """
    found = []
    for phase in filter(None, map(str.strip, text.split(";"))):
        step, colon, changes = phase.partition(":")
        if not colon or not step.strip().isdecimal() or not changes.split():
            raise ConfigError(f"{where} has {phase!r}, which is not of the form {PHASES_FORM!r}.")
        found.append((int(step), changes.strip()))
    return found


def phases(config: Any, text: str, where: str, fixed: tuple[str, ...]) -> list[tuple[int, Any]]:
    """Expands a config that changes at given steps. A phase keeps the previous phase's value of fields it does not set.

    Args:
      config: a flat dataclass, as it is from step 0 on.
      text: for example `90000: sequence_length=512 batch_size=64; 95000: mask_rate=0.1`: once that many steps are done,
        the fields take these values. Spaces separate fields, semicolons separate phases.
      where: the field that holds `text`, for messages.
      fixed: fields that may not change.

    Returns:
      (first step, config) of each phase; `config` itself is the first.

    Raises:
      ConfigError: the text is malformed, a field is unknown, a value has the wrong type, or steps do not increase.
    """
    result = [(0, config)]
    for start, changes in split_phases(text, where):
        if start <= result[-1][0]:
            raise ConfigError(f"{where}: step {start} does not come after step {result[-1][0]}.")
        changed = dataclasses.replace(result[-1][1])
        for change in changes.split():
            name, equals, value = change.partition("=")
            if not equals or name in fixed:
                raise ConfigError(
                    f"{where} has {change!r}: write field=value without spaces in the value, and not"
                    f" {' or '.join(fixed)}, which a phase cannot change."
                )
            try:
                replace(changed, name, parse(changed, name, value))
            except ConfigError as error:
                raise ConfigError(f"{where}, step {start}: {error}") from None
        result.append((start, changed))
    return result


def from_dict(cls: type, values: dict[str, Any]) -> Any:
    """Restores a config from the result of `dataclasses.asdict`; fields that are missing take their defaults.

    Raises:
      ConfigError: a field is unknown, or a value has the wrong type.
    """
    if not isinstance(values, dict):
        raise ConfigError("It is not a JSON object.")
    config = cls()
    for name, value in leaves(values).items():
        replace(config, name, value)
    return config


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested dictionaries to {"section.name": value}."""
    found = {}
    for name, value in values.items():
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def setting(
    default: Any,
    *,
    may_change: str = "",
    fixed: Callable[[Any], Any] | None = None,
    chosen: bool = False,
    until: Callable[[Any, int], Any] | None = None,
) -> Any:
    """Declares a config field together with what a second start of a run may do with it.

    Args:
      default: the default value.
      may_change: the reason why a second start may give another value. If empty, it may not.
      fixed: returns the part of a value that may not change all the same. None: all of it may.
      chosen: whether the first start fills in the field if it is not set.
      until: returns the part of a value that decides about the first so many steps: what a run that is forked after
        these steps must share. None: all of it.
    """
    metadata = {"may_change": may_change, "fixed": fixed, "chosen": chosen, "until": until}
    return dataclasses.field(default=default, metadata=metadata)


def metadata(cls: type, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Returns the `setting` of each leaf field, as {"section.name": {"may_change": …, "fixed": …, "chosen": …}}."""
    found: dict[str, dict[str, Any]] = {}
    types_of = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if dataclasses.is_dataclass(types_of[field.name]):
            found |= metadata(types_of[field.name], f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = dict(setting(None).metadata) | dict(field.metadata)
    return found
