"""`--config=FILE.py[:variant]`, and an absl flag for every field of the config in that file.

The file's `get_config()` (or `get_config(variant)`) returns a dataclass of dataclasses. Its fields become flags such as
`--config.optimizer.learning_rate`. They are ordinary absl flags: typed, listed by --helpfull, with suggestions for
misspelt names.
"""

import functools
import importlib.util
import inspect
import pathlib
import traceback
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from absl import flags

from bert_jax import configuration
from bert_jax.errors import BertJaxError, ConfigError, did_you_mean, near_names
from experiments import sentences

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLES = "experiments/configs"
SIZES = "sizes"  # the file whose variants have short names, too
KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
Config = TypeVar("Config")


def load(spec: str, *classes: type[Config], example: str = "mini") -> Config:
    """Loads the config of a config file.

    Args:
      spec: `FILE.py` or `FILE.py:variant`, where a file of `experiments/configs` may be given by its name alone; or a
        variant of `sizes.py`, such as `mini`.
      classes: the config must be an instance of one of these.
      example: one that is, for messages.

    Raises:
      ConfigError: there is no such file or variant, the file raises an error, or it returns another kind of config.
    """
    given, _, variant = spec.partition(":")
    file, variant = _find(given, variant)
    if not pathlib.Path(file).is_file():
        raise ConfigError(f"--config={file} is not a file.{_near_files(pathlib.Path(file))}")
    if not file.endswith(".py"):
        raise ConfigError(f"--config={file} is not a Python file: give one that ends in .py and defines get_config().")
    module_spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
    assert module_spec is not None  # the name ends in .py
    assert module_spec.loader is not None  # likewise
    module = importlib.util.module_from_spec(module_spec)
    _run(file, functools.partial(module_spec.loader.exec_module, module))
    get_config, arguments = _with_variant(file, module, variant)
    config = _run(file, get_config, *arguments)
    if not isinstance(config, classes):
        raise ConfigError(
            f"--config={file}: get_config() returns {type(config).__name__}, which this script does not take: give"
            f" another one of {EXAMPLES}, such as --config={example}."
        )
    try:
        configuration.check_types(config)
    except ConfigError as error:
        raise ConfigError("\n".join(f"--config={file}: {line}" for line in str(error).split("\n"))) from None
    return config


def _find(given: str, variant: str) -> tuple[str, str]:
    """Returns the file and the variant that are meant: as given, or in `experiments/configs`, from any folder."""
    short = ROOT / EXAMPLES / f"{given}.py"
    if pathlib.Path(given).is_file() or not given:
        return given, variant
    if (ROOT / given).is_file():  # the script was started from another folder
        return str(ROOT / given), variant
    if short.parent == ROOT / EXAMPLES and short.is_file():
        return str(short), variant
    if given.isidentifier() and not variant and given in _variants(ROOT / EXAMPLES / f"{SIZES}.py"):
        return str(ROOT / EXAMPLES / f"{SIZES}.py"), given
    return given, variant


def _variants(file: pathlib.Path) -> tuple[str, ...]:
    """The variants of a config file of this project."""
    get_config = importlib.import_module(f"{EXAMPLES.replace('/', '.')}.{file.stem}").get_config
    (annotation,) = [kind for name, kind in typing.get_type_hints(get_config).items() if name != "return"]
    return typing.get_args(annotation)


def _near_files(missing: pathlib.Path) -> str:
    """Suggests config files: of the same folder or, if it has none, of this project."""
    folder = missing.parent if missing.parent.name and any(missing.parent.glob("*.py")) else pathlib.Path(EXAMPLES)
    paths = (folder if folder.is_dir() else ROOT / folder).glob("*.py")
    names = sorted(path.stem for path in paths if "def get_config(" in path.read_text())
    sizes = _variants(ROOT / EXAMPLES / f"{SIZES}.py")
    near = near_names(missing.stem, [*names, *sizes])
    if near and near[0] in sizes:
        return f" Did you mean {SIZES}:{near[0]}?"
    if near:
        return f" Did you mean {folder}/{near[0]}.py?"
    return f" In {folder} there are {', '.join(f'{name}.py' for name in names)}."


def _with_variant(file: str, module: types.ModuleType, variant: str) -> tuple[Callable, list[str]]:
    """Returns `get_config` and its arguments.

    If its parameter is annotated as `Literal["a", "b"]`, these are the variants.
    """
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        raise ConfigError(f"--config={file} defines no get_config(): see {EXAMPLES}/sizes.py.")
    parameters = list(inspect.signature(get_config).parameters.values())
    if len(parameters) > 1:
        raise ConfigError(
            f"--config={file}: get_config must have at most one parameter, the variant, not {len(parameters)}."
        )
    if not parameters:
        if variant:
            raise ConfigError(f"--config={file} has no variants: leave out ':{variant}'.")
        return get_config, []
    choices = typing.get_args(typing.get_type_hints(get_config).get(parameters[0].name))
    listed = f": one of {', '.join(map(str, choices))}" if choices else ""
    if not variant:
        if parameters[0].default is parameters[0].empty:
            raise ConfigError(f"--config={file} needs a variant, as in {file}:NAME{listed}.")
        return get_config, []
    if choices and variant not in choices:
        raise ConfigError(f"--config={file} has no variant {variant!r}{listed}.{did_you_mean(variant, choices)}")
    return get_config, [variant]


def _run(file: str, function: Callable, *arguments: Any) -> Any:
    """Runs code of a config file, and reports its exceptions as configuration errors."""
    try:
        return function(*arguments)
    except BertJaxError:
        raise
    except Exception as error:
        if isinstance(error, SyntaxError):
            place = f"{error.filename}, line {error.lineno}"
            reason = error.msg
        else:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if pathlib.Path(frame.filename).resolve() == pathlib.Path(file).resolve()]
            place = f"{file}, line {own[-1].lineno}" if own else file
            reason = str(error)
        given = f" with the variant {arguments[0]!r}" if arguments else ""
        raise ConfigError(f"{place}{given}: {type(error).__name__}: {reason}. Fix the config file.") from error


class _FieldParser(flags.ArgumentParser):
    """Parses the value of a field; `none` is allowed if the field is optional."""

    def __init__(self, config: Any, dotted: str):
        plain, optional = configuration.field_type(config, dotted)
        self._config, self._dotted = config, dotted
        ending = " or none" if optional else ""
        self.syntactic_help = f"{plain.__name__}{ending}"
        self._meaning = f"{KINDS.get(plain, plain.__name__)}{ending}"

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument
        try:
            return configuration.parse(self._config, self._dotted, argument)
        except ConfigError:
            raise ValueError(f"{argument!r} is not {self._meaning}") from None


class _FieldSerializer(flags.ArgumentSerializer):
    """Formats a value as in a flag, for --helpfull."""

    def serialize(self, value: Any) -> str:
        return configuration.as_text(value)


def run(main: Callable[[Config], Any], *classes: type[Config], example: str = "mini") -> None:
    """Runs `main(config)` as an absl app with a `--config` flag and a flag for each field of the config.

    Args:
      main: takes the config.
      classes, example: see `load`.
    """
    flags.DEFINE_string("config", None, "Config file, with :variant if it has variants.")

    def parse(argv: list[str]) -> list[str]:
        spec = _config_argument(argv)
        if not spec and not any(argument.lstrip("-").startswith("help") for argument in argv):
            raise ConfigError(f"--config is missing: give one of {EXAMPLES}, such as --config={example}.")
        if not spec:
            print(f"With a config, its fields are listed too: --config={example} --helpfull\n")
        config = load(spec, *classes, example=example) if spec else None
        names = configuration.fields(config) if config else {}
        if config:
            _define(config, names)
        rest = sentences.parse_flags(argv)
        assert config is not None  # --help ends the program
        given = [name for name in names if flags.FLAGS[f"config.{name}"].present]
        replace(config, {name: flags.FLAGS[f"config.{name}"].value for name in given})
        parsed.append(config)
        return rest

    parsed: list[Config] = []
    sentences.run(lambda _: main(parsed[0]), parse)


def run_without_file(main: Callable[[dict[str, Any]], Any], config: Any) -> None:
    """Runs `main(fields)` as an absl app with a flag for each field of a config, none of which need be given.

    Args:
      main: takes the values of the fields that are given, by dotted name, for `replace`.
      config: has the fields.
    """

    def parse(argv: list[str]) -> list[str]:
        names = configuration.fields(config)
        _define(config, dict.fromkeys(names))
        rest = sentences.parse_flags(argv)
        chosen = {name: flags.FLAGS[f"config.{name}"] for name in names}
        given.update({name: flag.value for name, flag in chosen.items() if flag.present})
        return rest

    given: dict[str, Any] = {}
    sentences.run(lambda _: main(given), parse)


def replace(config: Any, given: Mapping[str, Any]) -> None:
    """Replaces what a recipe sets by fields that were given; fields that exclude those are cleared."""
    for name, value in given.items():
        configuration.replace(config, name, value)
    configuration.clear_alternatives(config, list(given))


def _define(config: Any, values: Mapping[str, Any]) -> None:
    """Defines a flag for each field."""
    meanings = configuration.meanings(type(config))
    for name, value in values.items():
        flags.DEFINE(_FieldParser(config, name), f"config.{name}", value, meanings[name], serializer=_FieldSerializer())


def _config_argument(argv: list[str]) -> str | None:
    """The value of the last `--config`, as absl would parse it."""
    found = None
    for i, argument in enumerate(argv):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "config":
            found = value if equals else (argv[i + 1] if i + 1 < len(argv) else None)
    return found
