"""What is trained: one contract for pretraining and for every kind of fine-tuning."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
from etils import epath
from jax.sharding import Mesh

from bert_jax.losses import Mean
from bert_jax.optimizer import OptimizerConfig
from bert_jax.sharding import MeshConfig
from bert_jax.training.config import EvalConfig, TrainConfig
from bert_jax.training.step import LossFn


class RunConfig(Protocol):
    """The sections that the config of any task has beside its own."""

    optimizer: OptimizerConfig
    train: TrainConfig
    eval: EvalConfig
    mesh: MeshConfig


class Work(NamedTuple):
    """What one step has to do.

    Attributes:
      batch: arrays on the mesh.
      tokens: real tokens in it, over all processes; padding is none.
      flops: floating-point operations of the step for them alone.
    """

    batch: dict[str, jax.Array]
    tokens: int
    flops: float


@dataclasses.dataclass(frozen=True)
class Task:
    """A task made ready for `training.run.train`.

    Attributes:
      mesh: the devices.
      init: a key to parameters boxed with their logical axes.
      loss_fn: see `training.step.LossFn`.
      work: a step, from 0 on, to its batch.
      score: (eval_step, params) to the values to log as they are named; eval_step is (params, batch) -> `Mean`s.
      layer_of: the names on a parameter's path to the layer that its gradient is reported under.
      passes: so many steps to {source: passes over it}.
      describe: so many steps to lines about data and batches, for the person who starts the run.
      stages: first steps of the run's stages, between which the shapes of batches change; the first is 0.
      group_rows: rows of a batch that no part of it may divide.
      prefetch: batches made ahead, in a thread.
      dtype: of the products, whose speed is the measure of utilisation.
      facts: what tells the data from others, kept with the run.
      save: writes the small files that belong to the model, such as its tokenizer, into a folder.
    """

    mesh: Mesh
    init: Callable[[jax.Array], Any]
    loss_fn: LossFn
    work: Callable[[int], Work]
    score: Callable[[Callable[[Any, Any], dict[str, Mean]], Any], dict[str, float]]
    layer_of: Callable[[tuple[str, ...]], str]
    passes: Callable[[int], dict[str, float]]
    describe: Callable[[int], list[str]]
    stages: tuple[int, ...]
    group_rows: int
    prefetch: int
    dtype: str
    facts: dict[str, str]
    save: Callable[[epath.Path], None]
