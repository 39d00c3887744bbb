"""Starts from another checkpoint: which parameters come from it, which start at random, and which stay behind."""

import collections
import dataclasses
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import jax
import orbax.checkpoint as ocp
from etils import epath

from bert_jax.errors import ConfigError
from bert_jax.optim.lora import base_path
from bert_jax.optim.parameters import parameter_name
from bert_jax.optim.rates import LayerOf, encoder_layers
from bert_jax.training.config import TrainConfig
from bert_jax.training.workdir.checkpoints import SavedParams, find_checkpoints


class Start(Protocol):
    """Saved parameters to start from, such as `SavedParams`.

    Attributes:
      step: the step after which they were saved; None if that is not known.
      shapes: the shapes of the parameters, by name.
      fingerprint: a hash of the parameters.
    """

    @property
    def step(self) -> int | None: ...
    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    @property
    def fingerprint(self) -> str: ...

    def read(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Reads some parameters, by name, as the given `ocp.ArrayRestoreArgs` say."""
        ...


def open_start(path: epath.PathLike) -> SavedParams:
    """Opens a run's folder or its `checkpoints/`, of which `SavedParams` chooses one, or one of these checkpoints.

    Raises:
      CheckpointError: there is no checkpoint.
    """
    return SavedParams(*find_checkpoints(epath.Path(path).expanduser()))


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """The parameters that a run takes from another checkpoint.

    Attributes:
      path: `train.init_from`.
      saved: the checkpoint.
      taken: names of the parameters that come from it.
      new: names of the parameters that start at random.
      left: names in the checkpoint that the model does not have, or that are to start at random.
      reinit: the layers that `train.reinit_layers` starts at random.
    """

    path: str
    saved: Start
    taken: tuple[str, ...]
    new: tuple[str, ...]
    left: tuple[str, ...]
    reinit: tuple[str, ...] = ()

    @classmethod
    def plan(
        cls,
        config: TrainConfig,
        params: Any,
        open_saved: Callable[[str], Start] = open_start,
        layer_of: LayerOf = "/".join,
    ) -> "WarmStart | None":
        """Decides which parameters come from `config.init_from`; returns None if that is empty.

        Args:
          config: `init_from`, `init_skip` and `reinit_layers` decide.
          params: the model's parameters, a tree of `jax.ShapeDtypeStruct`.
          open_saved: opens what `init_from` names.
          layer_of: maps the names on a parameter's path to its layer, for `reinit_layers`.

        Raises:
          CheckpointError: there is no checkpoint.
          ConfigError: a parameter has another shape there, or none can be taken, or there are fewer layers than
            `reinit_layers`.
        """
        if not config.init_from:
            return None
        saved, wanted = open_saved(config.init_from), _by_name(params)
        reinit = _reinit(config.reinit_layers, params, layer_of)
        there = {n for n in saved.shapes if not (config.init_skip and re.search(config.init_skip, n))}
        there -= {n for n in wanted if layer_of(base_path(tuple(n.split("/")))) in reinit}
        taken = tuple(name for name in wanted if name in there)
        if not taken:
            raise ConfigError(f"train.init_from={config.init_from} holds no parameter of this model: check both.")
        other = [name for name in taken if saved.shapes[name] != wanted[name].shape]
        if other:
            shapes = f"{list(saved.shapes[other[0]])} there and {list(wanted[other[0]].shape)} here"
            more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
            raise ConfigError(
                f"train.init_from={config.init_from}: {other[0]}{more} has another shape, {shapes}: give the sizes of"
                " the checkpoint's model, or start such parameters at random by train.init_skip."
            )
        new = tuple(name for name in wanted if name not in there)
        left = tuple(name for name in saved.shapes if name not in taken)
        return cls(config.init_from, saved, taken, new, left, reinit)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Identifies these parameters; compared until the run has a checkpoint of its own."""
        return {"init_from": self.saved.fingerprint}

    def read(self, params: Any) -> dict[str, jax.Array]:
        """Reads the parameters that are taken, by name, each sharded like the model's. No other copy is kept.

        Args:
          params: the model's parameters, a tree of `jax.ShapeDtypeStruct` with shardings.
        """
        wanted = _by_name(params)
        return self.saved.read(
            {
                name: ocp.ArrayRestoreArgs(sharding=wanted[name].sharding, dtype=wanted[name].dtype)
                for name in self.taken
            }
        )

    def describe(self) -> list[str]:
        """Returns lines about this for the start of the run."""
        step = "" if self.saved.step is None else f", step {self.saved.step:,}"
        lines = [f"start        {_grouped(self.taken)} from {self.path}{step}"]
        if self.new:
            again = f"; {', '.join(self.reinit)} by train.reinit_layers" if self.reinit else ""
            lines.append(f"             new, at random: {_grouped(self.new)}{again}")
        if self.left:
            lines.append(f"             left there: {_grouped(self.left)}")
        return lines


def _reinit(count: int, params: Any, layer_of: LayerOf) -> tuple[str, ...]:
    """Returns the layers to start at random: the top ones of the encoder, and the pooler (Zhang et al. 2021)."""
    layers = encoder_layers(params, layer_of)
    if count > len(layers):
        raise ConfigError(f"train.reinit_layers={count} is more than the model's {len(layers)} layers: lower it.")
    # A model that pools without a layer of its own has no pooler to start anew.
    pooler = {layer_of(base_path(tuple(name.split("/")))) for name in _by_name(params)} & {"pooler"}
    return (*layers[len(layers) - count :], *pooler) if count else ()


def _by_name(params: Any) -> dict[str, jax.ShapeDtypeStruct]:
    return {parameter_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def _grouped(names: Iterable[str]) -> str:
    """Formats names as `bert (37 arrays), label/dense/bias`: of each part, the longest path that all of them share."""
    parts: dict[str, list[str]] = collections.defaultdict(list)
    for name in names:
        parts[name.partition("/")[0]].append(name)
    shared = {posixpath.commonpath(all_): len(all_) for all_ in parts.values()}
    return ", ".join(f"{path} ({count} arrays)" if count > 1 else path for path, count in shared.items())
