"""Phases of a run: the sequence length, batch size, mask rate or corpus changes at given steps.

Each phase has its own batches, so that the batch of any step remains a function of the step alone. A phase of
`data.phases` begins a new epoch with new draws. The batch sizes of a ramp are phases that share one stream of rows:
each goes on where the one before ends, so the rows are those of a run without a ramp, in the same order.
"""

import dataclasses
import functools
import itertools

from bert_jax import configuration
from bert_jax.batch import Batch
from bert_jax.corpus import summary
from bert_jax.corpus.store import Corpus
from bert_jax.data.batches import Batches
from bert_jax.data.config import DataConfig
from bert_jax.data.statistics import describe
from bert_jax.errors import ConfigError

RAMP = ("ramp_from", "ramp_increment", "ramp_steps")
# One loss serves the whole run, so the kind of examples cannot change. The others are the run's, too.
FIXED = ("examples", "nsp_group_size", "nsp_temperature", *RAMP, "phases", "prefetch")


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of a run.

    Attributes:
      start: the number of completed steps when it begins.
      config: its complete data config.
      batch_size: B.
      full_batch_size: B at the end of the ramp that it is a part of; `batch_size` if it is no part of one.
      stream: the number of its stream of rows.
      first_row: the rows of that stream that come before it.
    """

    start: int
    config: DataConfig
    batch_size: int
    full_batch_size: int
    stream: int
    first_row: int


@dataclasses.dataclass
class _Fields(DataConfig):
    """The fields that a phase may set."""

    batch_size: int = 0


def plan_phases(config: DataConfig, batch_size: int) -> tuple[Phase, ...]:
    """Returns the phases of a run. The first begins at step 0, and each inherits what it does not set.

    Args:
      config: its field `phases` says what changes when, see `configuration.phases`. A phase may set `batch_size` and
        the fields of `DataConfig`. If it begins in a ramp and sets no other batch size, the ramp goes on.
      batch_size: of the first phase, at the end of its ramp.

    Raises:
      ConfigError: the field is malformed, names an unknown field, has a value of another type, or its steps do not
        increase; or the ramp cannot be.
    """
    fields = _Fields(**dataclasses.asdict(dataclasses.replace(config, phases="")), batch_size=batch_size)
    ramp, phases = plan_ramp(config, batch_size), []
    changes = configuration.phases(fields, config.phases, "data.phases", FIXED)
    ends = [start for start, _ in changes[1:]]
    for stream, ((start, phase), end) in enumerate(itertools.zip_longest(changes, ends)):
        values = dataclasses.asdict(phase)
        full = values.pop("batch_size")
        sizes = _between(ramp, start, end) if full == batch_size else [(start, full)]
        data, row = DataConfig(**values), 0
        for (begin, size), after in itertools.zip_longest(sizes, sizes[1:]):
            phases.append(Phase(begin, data, size, full, stream, row))
            row += (after[0] - begin) * size if after else 0
    return tuple(phases)


def plan_ramp(config: DataConfig, batch_size: int) -> list[tuple[int, int]]:
    """Returns (first step, rows per step) of each batch size of a ramp; one at step 0 if there is none.

    Each size but the last is held for an equal share of `ramp_steps`, as in the ramp of ModernBERT (Warner et al. 2024,
    arXiv 2412.13663), whose sizes grow by single rows.

    Raises:
      ConfigError: the sizes do not lead to `batch_size`, or there are too few steps.
    """
    first, steps = config.ramp_from, config.ramp_steps
    if first is None:
        if config.ramp_increment is not None or steps:
            raise ConfigError("data.ramp_increment and data.ramp_steps have no effect without data.ramp_from.")
        return [(0, batch_size)]
    if not 1 <= first < batch_size:
        raise ConfigError(f"data.ramp_from={first} must be at least 1 and below train.batch_size={batch_size}.")
    by = first if config.ramp_increment is None else config.ramp_increment
    if by < 1 or (batch_size - first) % by:
        raise ConfigError(
            f"data.ramp_increment={by} does not lead from data.ramp_from={first} to train.batch_size={batch_size}:"
            f" choose a divisor of {batch_size - first}."
        )
    count = (batch_size - first) // by
    if steps < count:
        raise ConfigError(
            f"data.ramp_steps={steps} is less than the {count} batch sizes before train.batch_size={batch_size}: raise"
            " it, or data.ramp_increment."
        )
    return [(steps * i // count, first + i * by) for i in range(count + 1)]


def _between(ramp: list[tuple[int, int]], start: int, end: int | None) -> list[tuple[int, int]]:
    """Returns the sizes from step `start` on, the first of them at `start`, and up to step `end`."""
    untils = [begin for begin, _ in ramp[1:]]
    return [
        (max(begin, start), size)
        for (begin, size), until in itertools.zip_longest(ramp, untils)
        if (until is None or until > start) and (end is None or begin < end)
    ]


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
        if phase.first_row:
            first = next(i for i, other in enumerate(self.phases) if other.stream == phase.stream)
            return self.of_phase(first).resized(phase.batch_size, phase.first_row)
        corpus = self._corpora[phase.config.corpus]
        return Batches(
            corpus.train, corpus.sources, corpus.tokenizer, phase.config, self._seed, phase.batch_size, phase.stream
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
        """How many passes over each source are complete before `step`, summed over all streams."""
        total: dict[str, float] = {}
        begun = [phase for phase in self.phases if phase.start < step] or self.phases[:1]
        for index, (phase, after) in enumerate(itertools.zip_longest(begun, begun[1:])):
            if after and after.first_row:
                continue  # it counts the rows from the beginning of their stream
            end = after.start if after else step
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
            if phase.first_row:
                if phase.start < num_steps:
                    lines.append(f"from step {phase.start + 1:<3,}{phase.batch_size:,} rows, by the ramp")
            elif phase.start >= num_steps:
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
