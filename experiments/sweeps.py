"""`--sweep`: which settings a sweep tries, and in which folders.

A sweep is written as `learning_rate=2e-5,5e-5;batch_size=16,32`: fields of the config, by their whole name or its last
part, each with its values. `--sweep` alone tries the grid of BERT.
"""

import copy
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from bert_jax import configuration
from bert_jax.errors import ConfigError, did_you_mean

RATE, BATCH, EPOCHS, SEED = "optimizer.learning_rate", "train.batch_size", "train.num_epochs", "train.seed"
SIZE = "data.num_train_examples"
# Devlin et al. (2018), appendix A.3.
RATES, BATCHES, PASSES = (5e-5, 3e-5, 2e-5), (16, 32), (2.0, 3.0, 4.0)
# The two higher rates of Turc et al. (2019, arXiv 1908.08962) for models that are narrower than BERT-Base.
SMALL_RATES, SMALL = (3e-4, 1e-4), 768
# Runs that are scored on other examples, or chosen by other scores, do not compare.
FIXED = ("data.validation", "data.test", "eval.best_by", "train.stop_after")
Settings = Mapping[str, Any]


class _SweepFlag(flags.Flag):
    """A text that may be left out, as in `--sweep` alone, which reads as `true`."""

    def __init__(self, name: str, meaning: str):
        super().__init__(flags.ArgumentParser(), None, name, None, meaning)
        self.boolean = True


def define_flag(name: str, meaning: str) -> flags.FlagHolder:
    """Defines the flag of a sweep; its value is None, `true` for the grid of BERT, `false`, or the text of a sweep."""
    return flags.DEFINE_flag(_SweepFlag(name, meaning))


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What to try.

    Attributes:
      axes: the values of each field, by its dotted name. Every combination of them is tried.
      seeds: each combination is trained with all of these.
    """

    axes: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...]

    @property
    def combinations(self) -> list[Settings]:
        """The combinations of the values, in the order in which they are tried."""
        return [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]

    def folder(self, settings: Settings) -> str:
        """Returns the name of the folder of a combination, such as `learning_rate=2e-05,batch_size=16`."""
        names = short_names(list(self.axes))
        return ",".join(f"{names[field]}={value_text(value).replace('/', '_')}" for field, value in settings.items())


def value_text(value: Any) -> str:
    """Formats a value for a folder or a table."""
    text = configuration.as_text(value)
    return text.removesuffix(".0") if isinstance(value, float) else text


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Returns the last part of each dotted name, or all of it if two have the same."""
    last = [field.rpartition(".")[2] for field in fields]
    return {field: name if last.count(name) == 1 else field for field, name in zip(fields, last, strict=True)}


def parse_axes(text: str, config: Any) -> dict[str, tuple[Any, ...]]:
    """Parses the text of a sweep.

    Args:
      text: `FIELD=VALUE,VALUE;FIELD=VALUE,VALUE`.
      config: has the fields.

    Raises:
      ConfigError: the text has another form, a field is unknown or named twice, or a value is not of its type.
    """
    axes: dict[str, tuple[Any, ...]] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, equals, values = part.partition("=")
        if not equals or not values:
            raise ConfigError(f"--sweep has {part!r}: write it as learning_rate=2e-5,5e-5;batch_size=16,32.")
        field = _field(name.strip(), config)
        if field in axes:
            raise ConfigError(f"--sweep names {field} twice: give all its values at once.")
        found = [configuration.parse(config, field, value.strip()) for value in values.split(",")]
        axes[field] = tuple(dict.fromkeys(found))
    if not axes:
        raise ConfigError("--sweep is empty: give it as learning_rate=2e-5,5e-5;batch_size=16,32, or without a value.")
    return axes


def _field(name: str, config: Any) -> str:
    """Returns the dotted name of a field that is given by it, or by its last part."""
    known = list(configuration.fields(config))
    found = [field for field in known if name in (field, field.rpartition(".")[2])]
    if len(found) > 1:
        raise ConfigError(f"--sweep={name} may be {' or '.join(found)}: give the whole name.")
    if not found:
        near = did_you_mean(name, known if "." in name else [field.rpartition(".")[2] for field in known])
        raise ConfigError(f"--sweep: there is no config field {name!r}.{near}")
    if found[0] in FIXED:
        raise ConfigError(f"--sweep cannot vary {found[0]}, since its runs are to be compared: leave it out.")
    return found[0]


def bert_grid(config: Any, width: int) -> dict[str, tuple[Any, ...]]:
    """Returns BERT's grid; without epochs if the config sets the length in another way.

    Args:
      config: of one run.
      width: of the model. For less than that of BERT-Base, two higher rates are tried, too.
    """
    rates = (SMALL_RATES if width < SMALL else ()) + RATES
    return {BATCH: BATCHES, RATE: rates} | ({} if config.train.num_epochs is None else {EPOCHS: PASSES})


def make_sweep(axes: Mapping[str, tuple[Any, ...]], config: Any, num_seeds: int | None) -> Sweep:
    """Returns the sweep over some axes, with `num_seeds` seeds from `train.seed` on unless the seed is an axis.

    Raises:
      ConfigError: there is nothing to choose from, or the seeds are given twice.
    """
    own = {field: values for field, values in axes.items() if field != SEED}
    if not own:
        raise ConfigError("--sweep varies nothing but the seed: give --num_seeds instead.")
    if SEED in axes and num_seeds is not None:
        raise ConfigError("--sweep names the seeds, and so does --num_seeds: leave one out.")
    first = config.train.seed
    sweep = Sweep(own, axes.get(SEED) or tuple(range(first, first + (num_seeds or 1))))
    folders = [sweep.folder(settings) for settings in sweep.combinations]
    if twice := sorted({folder for folder in folders if folders.count(folder) > 1}):
        raise ConfigError(f"--sweep: two combinations would share the folder {twice[0]}: give other values.")
    return sweep


def with_settings(config: Any, settings: Settings, seed: int) -> Any:
    """Returns the config of a run of the sweep."""
    own = copy.deepcopy(config)
    for field, value in settings.items():
        configuration.replace(own, field, value)
    configuration.clear_alternatives(own, list(settings))
    own.train.seed = seed
    return own
