"""A task placed on a mesh: its batches, compiled functions and evaluation."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bert_jax import sharding
from bert_jax.batch import Batch, cut, on_device, real_tokens
from bert_jax.errors import CorpusError
from bert_jax.losses import Outcome
from bert_jax.training.program import Program, make_program
from bert_jax.training.task import Learner, RunConfig, Task

# An additional evaluation, such as labelled examples scored on the hidden states. Maps the task and the parameters
# (arrays on the mesh) to scores by name, logged as `eval/NAME`. It must depend on these arguments only.
Probe = Callable[[Task, Any], dict[str, float]]


class Work(NamedTuple):
    """The batch of a step and its size.

    Attributes:
      batch: arrays on the mesh.
      tokens: real tokens in the batch, over all processes, not counting padding.
      flops: floating-point operations of the step for these tokens.
    """

    batch: dict[str, jax.Array]
    tokens: int
    flops: float


@dataclasses.dataclass(frozen=True)
class PlacedTask:
    """A task, the mesh it runs on, and how its batches are sharded.

    Attributes:
      task: the opened task.
      config: the complete config; only the number of steps may be missing.
      mesh: the devices.
      group_rows: consecutive rows of a batch that must stay together.
      probe: an additional evaluation.
    """

    task: Task
    config: RunConfig
    mesh: Mesh
    group_rows: int = 1
    probe: Probe | None = None

    @property
    def phase_starts(self) -> tuple[int, ...]:
        """The first step of each phase; batch shapes change there. The first entry is 0."""
        return tuple(phase.start for phase in self.task.stream.phases)

    def work(self, step: int) -> Work:
        """Returns the batch of `step` (from 0) on the mesh; each process makes only its own rows."""
        size = [phase.batch_size for phase in self.task.stream.phases if phase.start <= step][-1]
        parts = [self.task.stream.batch(step, *rows) for rows in sharding.process_rows(self.mesh, size)]
        batch = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        # Other processes' rows are unknown here; assume that they are like these.
        share = size / len(batch["example_ids"])
        tokens, flops = real_tokens(batch), self.task.learner.flops(batch)
        return Work(sharding.place_rows(batch, size, self.mesh), round(tokens * share), flops * share)

    def program(self, num_steps: int) -> Program:
        """Returns the compiled functions of a run of `num_steps` steps."""
        phases = self.task.stream.phases
        return make_program(self.task.learner, self.config, num_steps, self.group_rows, self.mesh, self._frozen, phases)

    @functools.cached_property
    def _frozen(self) -> Any:
        """The task's frozen arrays on the mesh; those of the host are copied to every device, once."""
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(
            lambda leaf: leaf if isinstance(leaf, jax.Array) else jax.device_put(leaf, everywhere), self.task.frozen
        )

    @property
    def held_out_batch_size(self) -> int:
        """The rows of each batch of the held-out set: no more than in a training microbatch of the first phase."""
        return self._batch_size(self.task.held_out)

    def _batch_size(self, rows: Batch) -> int:
        microbatch = self.task.stream.phases[0].full_batch_size // self.config.train.grad_accumulation_steps
        unit = sharding.data_devices(self.config.mesh, self.mesh.size) * self.group_rows
        return held_out_batch_size(len(rows["example_ids"]), microbatch, unit)

    def held_out_batches(self, rows: Batch | None = None) -> Iterator[dict[str, jax.Array]]:
        """Yields the held-out set, or these rows, on the mesh in batches of one size."""
        for batch in cut(on_device(self.task.held_out if rows is None else rows), self.held_out_batch_size):
            yield sharding.place_batch(batch, self.mesh)

    def check_scores(self) -> None:
        """Checks that the held-out set tells a model that has learned from one that has not.

        Raises:
          CorpusError: a baseline is perfect: 1, or 0 for a score of which less is better.
        """
        for score in self.task.learner.scores:
            level = self._baselines.get(score.baseline)
            if level == (0 if score.lower_is_better else 1) and "/" not in score.name:
                raise CorpusError(
                    f"On this held-out set, nothing has to be learned for a perfect score of {score.title!r}:"
                    f" {score.baseline_title} has {level:g} already. Hold out more, or more varied, examples."
                )

    @functools.cached_property
    def _baselines(self) -> dict[str, float]:
        return self.task.learner.baselines(self.task.held_out)

    def evaluate(self, program: Program, params: Any, step: int) -> dict[str, float]:
        """Returns the held-out scores, their baselines and the scores of probes after `step`, each as `eval/NAME`."""
        step = max(0, step - 1)  # a phase that begins here has not trained the parameters yet
        found = self._score(program, params, self.task.held_out, step) | self._baselines
        if other := self.task.other_held_out:
            found |= other.named(self._score(program, params, other.rows, step), self.task.learner.scores)
        for one in self.task.probes:
            found |= one.score(self.features(program, params, one.rows, step))
        found |= (
            self.probe(dataclasses.replace(self.task, learner=self.task.learner.at(step)), program.merge(params))
            if self.probe
            else {}
        )
        return {f"eval/{name}": value for name, value in found.items()}

    def _score(self, program: Program, params: Any, rows: Batch, step: int) -> dict[str, float]:
        found = [program.eval_step(params, batch, step) for batch in self.held_out_batches(rows)]
        return score_batches(self.task.learner, found, rows)

    def features(self, program: Program, params: Any, rows: Batch, step: int) -> np.ndarray:
        """Returns the learner's features of these rows, on the host: [rows, N, H]."""
        batches = cut(rows, self._batch_size(rows))
        found = [program.features(params, sharding.place_batch(batch, self.mesh), step) for batch in batches]
        return np.concatenate(jax.device_get(found))[: len(rows["example_ids"])]


def score_batches(learner: Learner, found: Sequence[tuple[Outcome, Any]], rows: Batch) -> dict[str, float]:
    """Returns the scores of held-out rows.

    Args:
      learner: has evaluated them.
      found: what its `eval_fn` returns for each batch of them, in order.
      rows: all of them, as one host batch. The last batch may have further rows, which are no examples.
    """
    outcomes, decoded = jax.device_get(tuple(zip(*found, strict=True)))
    count = len(rows["example_ids"])
    whole = jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *decoded)
    return learner.score(functools.reduce(operator.add, outcomes), whole, rows)


def held_out_batch_size(rows: int, microbatch: int, unit: int) -> int:
    """Returns the rows of each evaluation batch, such that few of the last batch's rows are empty.

    Args:
      rows: in the held-out set.
      microbatch: the most rows of a batch, a multiple of `unit`.
      unit: the rows that must stay together on a device, times the devices that rows are split over.
    """
    batches = -(-rows // microbatch)
    return -(-rows // (batches * unit)) * unit
