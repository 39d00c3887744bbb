"""`--config=FILE.py[:variant]`, and an absl flag for every field of the config that the file makes.

The file's `get_config()` (or `get_config(variant)`) returns a dataclass of dataclasses. Its fields become flags such as
`--config.optimizer.learning_rate`, known to absl like any other: typed, listed by --helpfull, corrected when misspelt.
"""

import importlib.util
import inspect
import pathlib
from collections.abc import Callable
from typing import Any

from absl import app, flags, logging

from bert_jax import configuration
from bert_jax.errors import ConfigError
from experiments.sentences import errors_as_sentences


def load(spec: str) -> Any:
    """Runs a config file.

    Args:
      spec: `FILE.py`, or `FILE.py:variant`.

    Raises:
      ConfigError: no such file, or one that makes no config.
    """
    file, _, variant = spec.partition(":")
    if not pathlib.Path(file).is_file():
        raise ConfigError(f"--config={file} is not a file: choose one of experiments/configs/*.py.")
    module_spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"--config={file} defines no get_config().")
    takes_variant = bool(inspect.signature(module.get_config).parameters)
    if variant and not takes_variant:
        raise ConfigError(f"--config={file} has no variants: leave out {':' + variant!r}.")
    return module.get_config(variant) if variant else module.get_config()


class _FieldParser(flags.ArgumentParser):
    """Text to a field's value; `none` where the field may be empty."""

    def __init__(self, config: Any, dotted: str):
        plain, optional = configuration.field_type(config, dotted)
        self._config, self._dotted = config, dotted
        self.syntactic_help = f"{plain.__name__}{' or none' if optional else ''}"

    def parse(self, argument):
        if not isinstance(argument, str):
            return argument
        try:
            return configuration.parse(self._config, self._dotted, argument)
        except ConfigError:
            raise ValueError(f"{argument!r} is not {self.syntactic_help}") from None


def run(main: Callable[[Any], Any]) -> None:
    """Runs `main(config)` as an absl app with a `--config` flag and a flag for each of its fields."""
    flags.DEFINE_string("config", None, "Config file, with :variant where it has some.")

    def parse(argv: list[str]) -> list[str]:
        spec = _config_argument(argv)
        config = load(spec) if spec else None
        names = configuration.fields(config) if config else {}
        for name, value in names.items():
            serializer = flags.ArgumentSerializer()
            flags.DEFINE(_FieldParser(config, name), f"config.{name}", value, "a config field", serializer=serializer)
        rest = app.parse_flags_with_usage(argv)
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)  # libraries are chatty at INFO; progress is printed anyway
        if config is None:
            raise ConfigError("Give --config: one of experiments/configs/*.py.")
        for name in names:
            configuration.replace(config, name, flags.FLAGS[f"config.{name}"].value)
        parsed.append(config)
        return rest

    parsed: list[Any] = []
    app.run(errors_as_sentences(lambda _: main(parsed[0])), flags_parser=errors_as_sentences(parse))


def _config_argument(argv: list[str]) -> str | None:
    """The value of the last `--config`, as absl would take it."""
    found = None
    for i, argument in enumerate(argv):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "config":
            found = value if equals else (argv[i + 1] if i + 1 < len(argv) else None)
    return found
