"""Phases of a run: from given steps on another sequence length, batch size, mask rate or corpus.

Each phase has batches of its own, so that the batch of any step is still a function of the step alone. A phase begins
a new epoch with new draws.
"""

import dataclasses
import functools

from bert_jax import configuration
from bert_jax.batch import Batch
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.data.corpus import Corpus
from bert_jax.errors import ConfigError

# The loss is that of one kind of examples; the last two mean nothing in a phase.
FIXED = ("examples", "nsp_group_size", "nsp_temperature", "phases", "prefetch")


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
      start: steps done when it begins.
      config: its data config, complete.
      batch_size: B.
    """

    start: int
    config: DataConfig
    batch_size: int


@dataclasses.dataclass
class _Fields(DataConfig):
    """What a phase may set."""

    batch_size: int = 0


def plan_phases(config: DataConfig, batch_size: int) -> tuple[Phase, ...]:
    """The phases of a run, the first from step 0 on; each keeps what it does not name from the one before.

    Args:
      config: its field `phases` says what changes when, see `configuration.stages`; a phase may set the fields of
        `DataConfig` and `batch_size`.
      batch_size: of the first phase.

    Raises:
      ConfigError: another form, an unknown field, a value of another type, or steps that do not rise.
    """
    fields = _Fields(**dataclasses.asdict(dataclasses.replace(config, phases="")), batch_size=batch_size)
    phases = []
    for start, stage in configuration.stages(fields, config.phases, "data.phases", FIXED):
        values = dataclasses.asdict(stage)
        size = values.pop("batch_size")
        phases.append(Phase(start, DataConfig(**values), size))
    return tuple(phases)


def phase_problems(config: DataConfig, batch_size: int) -> list[str]:
    """Sentences about what cannot work in any phase."""
    try:
        phases = plan_phases(config, batch_size)
    except ConfigError as error:
        return [str(error)]
    found = [f"{problem} (in the phase from step {p.start} on)" for p in phases[1:] for problem in p.config.problems()]
    found += [f"data.phases: batch_size={p.batch_size} must be at least 1." for p in phases[1:] if p.batch_size < 1]
    return found


class PhasedBatches:
    """The training batches of a run, over all its phases.

    Args:
      phases: from `plan_phases`.
      corpora: an opened corpus for each `config.corpus` of them.
      seed: names the stream.
    """

    def __init__(self, phases: tuple[Phase, ...], corpora: dict[str, Corpus], seed: int):
        self.phases, self._corpora, self._seed = phases, corpora, seed
        self.of_phase = functools.cache(self._of_phase)  # planned when its time comes

    def _of_phase(self, index: int) -> Batches:
        phase = self.phases[index]
        corpus = self._corpora[phase.config.corpus]
        return Batches(
            corpus.train, corpus.sources, corpus.tokenizer, phase.config, self._seed, phase.batch_size, index
        )

    def phase_index(self, step: int) -> int:
        """Which phase `step` (from 0) belongs to."""
        return max(i for i, phase in enumerate(self.phases) if phase.start <= step)

    def batch_size(self, step: int) -> int:
        """B at `step`."""
        return self.phases[self.phase_index(step)].batch_size

    def at(self, step: int) -> tuple[Batches, int]:
        """The batches that `step` belongs to, and its number among them."""
        index = self.phase_index(step)
        return self.of_phase(index), step - self.phases[index].start

    def batch(self, step: int, begin: int = 0, end: int | None = None) -> Batch:
        """Rows begin..end of the batch of `step` (from 0)."""
        batches, local = self.at(step)
        return batches.batch(local, begin, end)

    def epochs(self, step: int) -> dict[str, float]:
        """Passes over each source that are finished before `step`, over all phases so far."""
        total: dict[str, float] = {}
        for index, phase in enumerate(self.phases):
            if phase.start >= step and index:
                break
            end = self.phases[index + 1].start if index + 1 < len(self.phases) else step
            for name, epochs in self.of_phase(index).epochs(min(end, step) - phase.start).items():
                total[name] = total.get(name, 0.0) + epochs
        return total
