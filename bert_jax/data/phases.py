"""Phases of a run: the sequence length, batch size, mask rate or corpus changes at given steps.

Each phase has its own batches, so that the batch of any step remains a function of the step alone. A phase begins a new
epoch with new draws.
"""

import dataclasses
import functools

from bert_jax import configuration
from bert_jax.batch import Batch
from bert_jax.corpus import summary
from bert_jax.corpus.store import Corpus
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.data.statistics import describe
from bert_jax.errors import ConfigError

# One loss serves the whole run, so the kind of examples cannot change. The last two mean nothing in a phase.
FIXED = ("examples", "nsp_group_size", "nsp_temperature", "phases", "prefetch")


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of a run.

    Attributes:
      start: the number of completed steps when it begins.
      config: its complete data config.
      batch_size: B.
    """

    start: int
    config: DataConfig
    batch_size: int


@dataclasses.dataclass
class _Fields(DataConfig):
    """The fields that a phase may set."""

    batch_size: int = 0


def plan_phases(config: DataConfig, batch_size: int) -> tuple[Phase, ...]:
    """Returns the phases of a run. The first begins at step 0, and each inherits what it does not set.

    Args:
      config: its field `phases` says what changes when, see `configuration.phases`. A phase may set `batch_size` and
        the fields of `DataConfig`.
      batch_size: of the first phase.

    Raises:
      ConfigError: the field is malformed, names an unknown field, has a value of another type, or its steps do not
        increase.
    """
    fields = _Fields(**dataclasses.asdict(dataclasses.replace(config, phases="")), batch_size=batch_size)
    phases = []
    for start, phase in configuration.phases(fields, config.phases, "data.phases", FIXED):
        values = dataclasses.asdict(phase)
        size = values.pop("batch_size")
        phases.append(Phase(start, DataConfig(**values), size))
    return tuple(phases)


def phase_problems(config: DataConfig, batch_size: int) -> list[str]:
    """Error messages about values that cannot work in some phase."""
    try:
        phases = plan_phases(config, batch_size)
    except ConfigError as error:
        return [str(error)]
    found = [f"{problem} (in the phase from step {p.start} on)" for p in phases[1:] for problem in p.config.problems()]
    found += [f"data.phases: batch_size={p.batch_size} must be at least 1." for p in phases[1:] if p.batch_size < 1]
    return found


class PhasedBatches:
    """The training batches of all phases of a run. A `training.task.Stream`.

    Args:
      phases: from `plan_phases`.
      corpora: the open corpus for each `config.corpus` of the phases, all with the same vocabulary.
      seed: identifies the stream.
    """

    def __init__(self, phases: tuple[Phase, ...], corpora: dict[str, Corpus], seed: int):
        self.phases, self._corpora, self._seed = phases, corpora, seed
        self.of_phase = functools.cache(self._of_phase)  # planned at first use

    def _of_phase(self, index: int) -> Batches:
        phase = self.phases[index]
        corpus = self._corpora[phase.config.corpus]
        return Batches(
            corpus.train, corpus.sources, corpus.tokenizer, phase.config, self._seed, phase.batch_size, index
        )

    @property
    def fingerprints(self) -> dict[str, str]:
        """Hashes that identify the data. `corpus` has one for each phase, or a single one if all are equal."""
        corpora = [self._corpora[phase.config.corpus] for phase in self.phases]
        contents = [corpus.fingerprint for corpus in corpora]
        one = len(set(contents)) == 1
        return {"corpus": " ".join(contents[:1] if one else contents), "tokenizer": corpora[0].tokenizer.sha256}

    def phase_index(self, step: int) -> int:
        """The index of the phase of `step` (counted from 0)."""
        return max(i for i, phase in enumerate(self.phases) if phase.start <= step)

    def at(self, step: int) -> tuple[Batches, int]:
        """The batches of the phase of `step`, and the index of the step within the phase."""
        index = self.phase_index(step)
        return self.of_phase(index), step - self.phases[index].start

    def batch(self, step: int, begin: int = 0, end: int | None = None) -> Batch:
        """Rows begin..end of the batch of `step` (counted from 0)."""
        batches, local = self.at(step)
        return batches.batch(local, begin, end)

    def epochs(self, step: int) -> dict[str, float]:
        """How many passes over each source are complete before `step`, summed over all phases."""
        total: dict[str, float] = {}
        for index, phase in enumerate(self.phases):
            if phase.start >= step and index:
                break
            end = self.phases[index + 1].start if index + 1 < len(self.phases) else step
            for name, epochs in self.of_phase(index).epochs(min(end, step) - phase.start).items():
                total[name] = total.get(name, 0.0) + epochs
        return total

    def num_steps(self, epochs: float) -> int:
        """Not defined, because passes over different sources end at different steps.

        Raises:
          ConfigError: always.
        """
        raise ConfigError(
            "train.num_epochs is for labelled examples: give train.num_steps or train.time_budget instead."
        )

    def describe(self, num_steps: int) -> list[str]:
        """Describes the data of a run of `num_steps` steps, in lines."""
        corpus = self._corpora[self.phases[0].config.corpus]
        train, manifest = corpus.train, corpus.manifest
        lines = [f"data         {train.num_documents:,} documents, {train.num_tokens:,} tokens of text"]
        for index, phase in enumerate(self.phases):
            if phase.start >= num_steps:
                lines.append(
                    f"from step {phase.start + 1:<3,}is after the last step, {num_steps:,}: this phase has no effect"
                )
            else:
                lines.append(
                    f"from step {phase.start + 1:<3,}{phase.batch_size:,} rows × {phase.config.sequence_length} tokens:"
                    f" {describe(self.of_phase(index))}"
                )
        sources = ", ".join(f"{name} {passes:,.2f}" for name, passes in self.epochs(num_steps).items())
        lines.append(f"epochs       passes over each source: {sources}")
        config = self.phases[0].config
        exponents = [] if config.source_weights else summary.vocabulary_remark(manifest, config.source_exponent)
        return lines + summary.remarks(manifest) + exponents
