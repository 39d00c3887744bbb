"""The interface of a task, shared by pretraining and all kinds of fine-tuning.

`TaskKind.open` turns a config into a `Task`: a stream of training batches, a learner and a held-out set.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import jax
import numpy as np

from bert_jax.batch import Batch
from bert_jax.losses import Outcome
from bert_jax.optim.optimizer import OptimizerConfig
from bert_jax.scores import Score
from bert_jax.sharding import MeshConfig
from bert_jax.training.config import EvalConfig, TrainConfig
from bert_jax.training.step import Randomness
from bert_jax.training.workdir.warm_start import Start, open_start


class RunConfig(Protocol):
    """The sections that every task's config has, besides its own."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def optimizer(self) -> OptimizerConfig: ...
    @property
    def train(self) -> TrainConfig: ...
    @property
    def eval(self) -> EvalConfig: ...
    @property
    def mesh(self) -> MeshConfig: ...


class Phase(Protocol):
    """A part of a run with a fixed batch size.

    Attributes:
      start: steps taken when the phase begins; 0 for the first phase.
      batch_size: B.
      full_batch_size: B at the end of the ramp that the phase is a part of; `batch_size` if it is no part of one.
    """

    @property
    def start(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def full_batch_size(self) -> int: ...


def microbatches(phase: Phase, grad_accumulation_steps: int) -> int:
    """Returns the microbatches of a batch: as few as keep them no larger than those at the end of the phase's ramp."""
    return -(-phase.batch_size * grad_accumulation_steps // phase.full_batch_size)


class Stream(Protocol):
    """The training batches, as a pure function of the step.

    Attributes:
      phases: the phases of the run, in order.
      fingerprints: hashes that identify the data, by name; a resumed run compares them.
    """

    @property
    def phases(self) -> Sequence[Phase]: ...
    @property
    def fingerprints(self) -> dict[str, str]: ...

    def batch(self, step: int, begin: int = 0, end: int | None = None) -> Batch:
        """Returns rows begin..end of the batch of `step` (from 0) as host arrays; to the last row if `end` is None."""
        ...

    def epochs(self, step: int) -> dict[str, float]:
        """Returns the number of passes over each source before `step`."""
        ...

    def num_steps(self, epochs: float) -> int:
        """Returns the number of steps in `epochs` passes over the data.

        Raises:
          ConfigError: passes are not defined for this stream.
        """
        ...

    def describe(self, num_steps: int) -> list[str]:
        """Describes the data of a run of `num_steps` steps, as lines to show when it starts."""
        ...


class Learner(Protocol):
    """A model and its objectives; implemented in `bert_jax.objectives.learner`.

    Attributes:
      dtype: the dtype of the matrix products; utilisation is relative to their peak speed.
      scores: the scores that reports show.
      phase_starts: the steps at which the model changes other than by training, in order; the first is 0.
    """

    @property
    def dtype(self) -> str: ...
    @property
    def scores(self) -> tuple[Score, ...]: ...
    @property
    def phase_starts(self) -> tuple[int, ...]: ...

    def at(self, step: int) -> "Learner":
        """Returns the learner of a step, counted from 0, with the same parameters."""
        ...

    def check(self, batch: Batch) -> None:
        """Raises an error if a host batch does not match the schema."""
        ...

    def init(self, key: jax.Array) -> Any:
        """Returns initial parameters, boxed with their logical axes."""
        ...

    def loss_fn(self, params: Any, frozen: Any, batch: Batch, randomness: Randomness) -> Outcome:
        """Computes the losses and metrics of a batch; see `training.step.LossFn`."""
        ...

    def eval_fn(self, params: Any, frozen: Any, batch: Batch, randomness: Randomness) -> tuple[Outcome, Any]:
        """Computes the same, and what else `score` needs to know of the predictions; see `training.step.EvalFn`."""
        ...

    def features(self, params: Any, batch: Batch) -> jax.Array:
        """Computes one vector for each example, float32 [B, N, H], without dropout. Only probes need it."""
        ...

    def layer_of(self, names: tuple[str, ...]) -> str:
        """Returns the layer under which a parameter's gradient is reported, given the names on its path."""
        ...

    def flops(self, batch: Batch) -> float:
        """Returns the floating-point operations of a training step on a host batch, not counting padding."""
        ...

    def score(self, outcome: Outcome, decoded: Any, held_out: Batch) -> dict[str, float]:
        """Computes the held-out scores by name.

        Args:
          outcome: the sum over all batches (host arrays).
          decoded: the second result of `eval_fn` for all rows of the held-out set (host arrays).
          held_out: the held-out set.
        """
        ...

    def baselines(self, held_out: Batch) -> dict[str, float]:
        """Computes the baselines to compare the scores with, by name."""
        ...


@dataclasses.dataclass(frozen=True)
class OtherHeldOut:
    """A held-out set of other data, on which the same scores are computed.

    Attributes:
      name: the score `mlm_loss` is logged as `eval/NAME_mlm_loss`.
      title: what the titles of its scores end in.
      rows: as `Task.held_out`.
      fingerprints: hashes that identify the data, by name; a resumed run compares them.
    """

    name: str
    title: str
    rows: Batch
    fingerprints: Mapping[str, str]

    def scores(self, scores: Sequence[Score]) -> tuple[Score, ...]:
        """Returns the kinds of scores on this set. They have neither parts nor baselines, which are of other data."""
        return tuple(
            Score(f"{self.name}_{one.name}", f"{one.title}, {self.title}", one.lower_is_better)
            for one in scores
            if "/" not in one.name
        )

    def named(self, values: Mapping[str, float], scores: Sequence[Score]) -> dict[str, float]:
        """Returns the values of these scores, under their names on this set."""
        return {
            f"{self.name}_{one.name}": values[one.name] for one in scores if "/" not in one.name and one.name in values
        }


class FeatureProbe(Protocol):
    """Labelled examples that are scored on the frozen features of a model; see `objectives/linear_probe.py`.

    Attributes:
      name: tells probes apart.
      rows: as `Task.held_out`, with the core columns alone.
      fingerprint: identifies the examples; a resumed run compares it.
      scores: the kinds of scores.
      lines: describe the examples when the run starts.
    """

    @property
    def name(self) -> str: ...
    @property
    def rows(self) -> Batch: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def scores(self) -> tuple[Score, ...]: ...
    @property
    def lines(self) -> tuple[str, ...]: ...

    def score(self, features: np.ndarray) -> dict[str, float]:
        """Returns the scores and their baselines by name, from the features [rows, N, H] of all rows."""
        ...


@dataclasses.dataclass(frozen=True)
class Task:
    """A task that is ready to train.

    Attributes:
      stream: the training batches.
      learner: the model and its objectives.
      held_out: the rows of the fixed held-out set, as host arrays; a multiple of `TaskKind.group_rows`.
      files: small files that belong to the model, such as its tokenizer, by path in the workdir.
      summary: one or two sentences for the report about the model and its data.
      prefetch: number of batches to prefetch in a thread.
      frozen: arrays that the loss reads but training never changes, such as a teacher's parameters. They are not saved
        in checkpoints.
      other_held_out: held-out rows of other data, scored beside `held_out`.
      probes: the labelled examples of `eval.probes`.
    """

    stream: Stream
    learner: Learner
    held_out: Batch
    files: Mapping[str, bytes]
    summary: str
    prefetch: int = 2
    frozen: Any = None
    other_held_out: OtherHeldOut | None = None
    probes: tuple[FeatureProbe, ...] = ()

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores that reports show."""
        own = tuple(self.learner.scores)
        others = self.other_held_out.scores(own) if self.other_held_out else ()
        return own + others + tuple(score for probe in self.probes for score in probe.scores)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Hashes that identify the data, by name; a resumed run compares them."""
        others = dict(self.other_held_out.fingerprints if self.other_held_out else {})
        return self.stream.fingerprints | others | {f"probe_{one.name}": one.fingerprint for one in self.probes}


@dataclasses.dataclass(frozen=True)
class Report:
    """A task's part of the report of a run, as lines of Markdown.

    Attributes:
      data: a description of the data.
      examples: example predictions of the model.
    """

    data: list[str]
    examples: list[str]


Config = TypeVar("Config", bound=RunConfig)


class TaskKind(abc.ABC, Generic[Config]):
    """A kind of task, such as pretraining. `bert_jax.tasks.registry` lists all kinds.

    Attributes:
      name: its name in `config.json`.
      config_class: the dataclass of its config.
      group_rows_field: the config field that sets `group_rows`, for error messages.
    """

    name: str
    config_class: type[Config]
    group_rows_field: str = ""

    @abc.abstractmethod
    def phases(self, config: Config) -> Sequence[Phase]:
        """Returns the phases of a run, from the config alone.

        Raises:
          ConfigError: the config does not define valid phases.
        """

    def group_rows(self, config: Config) -> int:
        """Returns the rows per group; a group is never split over devices, processes or microbatches."""
        return 1

    @abc.abstractmethod
    def longest_example(self, config: Config) -> int:
        """Returns the number of tokens in the longest example that a model of this config was trained on."""

    @abc.abstractmethod
    def problems(self, config: Config) -> list[str]:
        """Returns error messages about the config, besides those of its sections."""

    @abc.abstractmethod
    def cut_sizes(self, config: Config) -> dict[str, tuple[str, int]]:
        """Returns the logical axes that must divide evenly over devices, each with its display name and size."""

    @abc.abstractmethod
    def objectives(self, config: Config, files: Mapping[str, bytes]) -> Sequence[Any]:
        """Returns the objectives of a checkpoint's heads, without opening any data.

        Args:
          config: the config of the run.
          files: the `Task.files` of the run.
        """

    def open_start(self, path: str) -> Start:
        """Opens what `train.init_from` names; runs by default.

        Raises:
          BertJaxError: it cannot be read.
        """
        return open_start(path)

    def remarks(self, config: Config) -> list[str]:
        """Returns lines about a config that works but may disappoint, to show when a run starts. None by default."""
        return []

    def complete(self, config: Config, stored: Config | None) -> None:
        """Fills in the fields that depend on where the parameters come from. Does nothing by default.

        Args:
          config: changed in place.
          stored: the config of the first start if the run is resumed, else None.
        """

    @abc.abstractmethod
    def open(self, config: Config, files: Mapping[str, bytes]) -> Task:
        """Opens the data and makes the model for a checked config; fills in the fields that depend on the data.

        Args:
          config: changed in place.
          files: the `Task.files` of the first start if the run is resumed, else empty.

        Raises:
          BertJaxError: a problem that only shows once the data are read.
        """

    def report(
        self, config: Config, model: Any | None, epochs: Mapping[str, float], fingerprints: Mapping[str, str]
    ) -> Report:
        """Returns the task's part of the report; empty by default.

        Args:
          config: the config of the run.
          model: the trained model, a `pretrained.Pretrained`; None if it cannot be read.
          epochs: passes over each source so far.
          fingerprints: the fingerprints of the data.
        """
        return Report([], [])
