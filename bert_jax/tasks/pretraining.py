"""Pretraining with a masked language model and next-sentence prediction (Devlin et al. 2018).

This is the complete task: config, checks, objectives, and `pretrain`.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from bert_jax.corpus.store import Corpus, open_corpus
from bert_jax.data.config import DataConfig, HeldOutConfig, source_shares
from bert_jax.data.evaluation import held_out_rows
from bert_jax.data.pairs import check_pairs
from bert_jax.data.phases import Phase, PhasedBatches, phase_problems, plan_phases
from bert_jax.errors import ConfigError, CorpusError, check_all
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.candidates import Candidates
from bert_jax.objectives.learner import Learner
from bert_jax.objectives.masked_words import MaskedWords, MaskedWordsConfig
from bert_jax.objectives.objective import Objective
from bert_jax.objectives.sentence_pairs import SentencePairs
from bert_jax.optim.optimizer import OptimizerConfig
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.pretraining_report import pretraining_report
from bert_jax.tasks.probes import open_probes
from bert_jax.tasks.starting_point import (
    SHAPELESS,
    inherit_model,
    open_start,
    read_starting_point,
    tokenizer_files,
)
from bert_jax.training.config import TrainConfig
from bert_jax.training.placed import Probe
from bert_jax.training.run import Options, run
from bert_jax.training.task import OtherHeldOut, Report, Task, TaskKind
from bert_jax.training.workdir.folder import Workdir
from bert_jax.training.workdir.warm_start import Start

# The recipe `quickstart.py` passes word frequencies after 700 steps on Wikipedia; larger models need more.
STEPS_TO_LEARN = 700


@dataclasses.dataclass
class PretrainingConfig:
    """The complete config of a pretraining run."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    mlm: MaskedWordsConfig = dataclasses.field(default_factory=MaskedWordsConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    eval: HeldOutConfig = dataclasses.field(default_factory=HeldOutConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)


class Pretraining(TaskKind[PretrainingConfig]):
    """Predicts masked words and, depending on the kind of examples, the next sentence."""

    name = "pretraining"
    config_class = PretrainingConfig
    group_rows_field = "data.nsp_group_size"

    def phases(self, config: PretrainingConfig) -> tuple[Phase, ...]:
        return plan_phases(config.data, config.train.batch_size)

    def group_rows(self, config: PretrainingConfig) -> int:
        return config.data.group_rows

    def open_start(self, path: str) -> Start:
        return open_start(path)

    def longest_example(self, config: PretrainingConfig) -> int:
        return max(phase.config.sequence_length for phase in self.phases(config))

    def cut_sizes(self, config: PretrainingConfig) -> dict[str, tuple[str, int]]:
        return config.model.cut_sizes

    def complete(self, config: PretrainingConfig, stored: PretrainingConfig | None) -> None:
        if path := config.train.init_from:
            # Parameters of another shape may be left out by `train.init_skip`.
            there = stored.model if stored else read_starting_point(path).model
            inherit_model(config.model, there, path, must_agree=SHAPELESS)

    def problems(self, config: PretrainingConfig) -> list[str]:
        found = phase_problems(config.data, config.train.batch_size)
        lengths = [config.data.sequence_length]
        if not found:
            lengths = [phase.config.sequence_length for phase in self.phases(config)]
        in_a_phase = max(lengths) > lengths[0]
        where = "data.phases: sequence_length" if in_a_phase else "data.sequence_length"
        found += config.model.length_problems(max(lengths), where)
        if config.optimizer.base_width and (config.model.head_transform == "none" or not config.model.tied_output):
            found.append(
                "optimizer.base_width keeps logits right through the norm before the word table, so it needs"
                " model.tied_output=true and model.head_transform=words or all: leave it out."
            )
        if not config.data.corpus:
            found.append("data.corpus is empty: give a folder written by experiments.prepare_corpus.")
        return found

    def remarks(self, config: PretrainingConfig) -> list[str]:
        steps = config.train.length
        late = [start for start in config.model.phase_starts if start >= steps]
        found = [f"no effect    model.phases: step {start:,} is after the last step, {steps:,}" for start in late]
        if config.train.init_from or steps >= STEPS_TO_LEARN:
            return found
        return [
            *found,
            f"too short    {steps:,} steps: the small model of quickstart.py needs about {STEPS_TO_LEARN:,} to do"
            " better than word frequencies, and larger ones need more",
        ]

    def objectives(self, config: PretrainingConfig, files: Mapping[str, bytes]) -> tuple[Objective, ...]:
        return make_objectives(config.data, config.mlm)

    def open(self, config: PretrainingConfig, files: Mapping[str, bytes]) -> Task:
        corpora, stream = training_batches(config)
        corpus = corpora[config.data.corpus]
        if config.model.vocab_size is None:
            config.model.vocab_size = corpus.tokenizer.vocab_size
        if config.train.init_from and not files:
            _check_start(config, corpus)
        for index in (i for i, phase in enumerate(stream.phases) if not phase.first_row):
            check_pairs(stream.of_phase(index), "training", "Give the corpus documents of several sentences each")
        return Task(
            stream=stream,
            learner=Learner(config.model, make_objectives(config.data, config.mlm, corpus)),
            held_out=held_out_rows(corpus, config.data, config.eval),
            files=tokenizer_files(corpus.tokenizer),
            summary=summarize(config.data),
            prefetch=config.data.prefetch,
            probes=open_probes(
                config.eval, corpus.tokenizer, config.data.sequence_length, two_types=bool(config.data.kind.question)
            ),
            other_held_out=_other_held_out(config, corpus) if config.eval.corpus else None,
        )

    def report(
        self,
        config: PretrainingConfig,
        model: Any | None,
        epochs: Mapping[str, float],
        fingerprints: Mapping[str, str],
    ) -> Report:
        return pretraining_report(config.data, model, epochs, fingerprints)


def make_objectives(
    data: DataConfig, mlm: MaskedWordsConfig | None = None, corpus: Corpus | None = None
) -> tuple[Objective, ...]:
    """Returns the objectives for a kind of examples; without a corpus, without losses by source and baselines."""
    z_loss = mlm.z_loss if mlm else 0.0
    words = MaskedWords(z_loss=z_loss)
    if corpus:
        words = MaskedWords(
            z_loss=z_loss,
            sources=corpus.sources,
            word_counts=lambda: corpus.train.token_counts,
            never=corpus.tokenizer.frame_ids,
        )
    if data.kind.is_split:
        return words, Candidates(group_size=data.nsp_group_size, temperature=data.nsp_temperature)
    return (words, SentencePairs(question=data.kind.question)) if data.kind.question else (words,)


def summarize(data: DataConfig) -> str:
    """Describes what is learned, in a sentence or two."""
    titles = [one.title for one in make_objectives(data)]
    masked = {"token": "tokens", "whole_word": "tokens, as whole words,", "span": "tokens, as spans of words,"}
    phases = plan_phases(dataclasses.replace(data, ramp_from=None, ramp_increment=None, ramp_steps=0), 1)
    rates = ", then ".join(dict.fromkeys(f"{100 * phase.config.mask_rate:g} %" for phase in phases))
    counted = "" if data.kind.forced_labels_count else " on pairs whose label was drawn at random"
    return (
        f"Trained by {f'{titles[0]} alone' if len(titles) == 1 else ' and '.join(titles) + counted}."
        f" {rates} of the {masked[data.masking]} are predicted."
    )


def training_batches(
    config: PretrainingConfig, places: Mapping[str, epath.PathLike] | None = None
) -> tuple[dict[str, Corpus], PhasedBatches]:
    """Opens the corpora of all phases; returns them by their path in the config, with the batches made from them.

    Args:
      config: names the corpora.
      places: where to find those that are not at their path in the config.

    Raises:
      ConfigError, CorpusError: corpora are missing or do not match; all problems are reported at once.
    """
    phases = plan_phases(config.data, config.train.batch_size)
    corpora: dict[str, Corpus] = {}
    paths = dict.fromkeys(phase.config.corpus for phase in phases)
    places = {path: path for path in paths} | dict(places or {})
    check_all(*(functools.partial(_open_into, corpora, path, places[path]) for path in paths))
    check_all(
        *(functools.partial(_check_alike, corpora, config.data.corpus, path) for path in paths),
        *(functools.partial(_check_weights, phase.config, corpora[phase.config.corpus]) for phase in phases),
        functools.partial(_check_vocabulary, config.model, corpora[config.data.corpus]),
    )
    return corpora, PhasedBatches(phases, corpora, config.train.seed)


def _open_into(corpora: dict[str, Corpus], path: str, place: epath.PathLike) -> None:
    corpora[path] = open_corpus(place)


def _check_alike(corpora: dict[str, Corpus], first_path: str, path: str) -> None:
    first, other = corpora[first_path], corpora[path]
    if other.tokenizer.sha256 != first.tokenizer.sha256:
        raise ConfigError(f"{path} has another vocabulary than {first_path}: prepare both with the same --tokenizer.")
    if other.sources != first.sources:
        raise ConfigError(
            f"{path} has the sources {', '.join(other.sources)}, {first_path} has {', '.join(first.sources)}:"
            " use the same names."
        )


def _check_weights(data: DataConfig, corpus: Corpus) -> None:
    """Checks the weights of the sources, before a later phase needs them."""
    documents = [corpus.train.of_source(i).num_documents for i in range(len(corpus.sources))]
    source_shares(data, corpus.sources, np.array(documents))


def _check_vocabulary(model: ModelConfig, corpus: Corpus) -> None:
    size = corpus.tokenizer.vocab_size
    if model.vocab_size is not None and model.vocab_size < size:
        raise ConfigError(
            f"model.vocab_size={model.vocab_size} is smaller than the corpus' vocabulary of {size}: raise it, or leave"
            " it out."
        )


def _other_held_out(config: PretrainingConfig, corpus: Corpus) -> OtherHeldOut:
    """Makes the held-out set of `eval.corpus`, as that of the training corpus is made."""
    path = config.eval.corpus
    other = open_corpus(path)
    if other.fingerprint == corpus.fingerprint:
        raise ConfigError(f"eval.corpus={path} is the training corpus, which is scored anyway: leave it out.")
    if other.tokenizer.sha256 != corpus.tokenizer.sha256:
        raise ConfigError(
            f"eval.corpus={path} has another vocabulary than data.corpus={config.data.corpus}: prepare its text again"
            f" with --tokenizer={config.data.corpus}/tokenizer."
        )
    try:
        rows = held_out_rows(other, config.data, config.eval)
    except CorpusError as error:
        raise CorpusError(f"eval.corpus={path}: {error}") from None
    # Its sources are not those of the training corpus, so no score is cut by them; the columns are the same.
    rows.pop("source_ids", None)
    if config.data.kind.is_split or len(corpus.sources) > 1:
        rows["source_ids"] = np.zeros_like(rows["cls_positions"])
    return OtherHeldOut("eval_corpus", f"on {path}", rows, {"eval_corpus": other.fingerprint})


def _check_start(config: PretrainingConfig, corpus: Corpus) -> None:
    path = config.train.init_from
    start = read_starting_point(path)
    if start.tokenizer.sha256 != corpus.tokenizer.sha256:
        raise ConfigError(
            f"{config.data.corpus} has another vocabulary than train.init_from={path}: prepare the corpus with"
            " --tokenizer set to the folder tokenizer/ of that run."
        )


def open_batches(workdir: epath.PathLike, corpora: Sequence[epath.PathLike] = ()) -> PhasedBatches:
    """Opens the training batches of a run for inspection, from the data with which it was started.

    Args:
      workdir: the run's folder.
      corpora: where corpora of the run are that have moved. Which is which is known by their fingerprints.

    Raises:
      ConfigError, CorpusError: there is no run, or its corpus is missing or a different one.
    """
    folder = Workdir(workdir)
    config = folder.run_config(Pretraining())
    _, batches = training_batches(config, _places(config, folder, corpora))
    folder.compare_data(batches.fingerprints)
    return batches


def _places(config: PretrainingConfig, folder: Workdir, corpora: Sequence[epath.PathLike]) -> dict[str, epath.PathLike]:
    """Finds the corpora of a run by their fingerprints, and returns the place of each by its path in the config."""
    paths = [phase.config.corpus for phase in plan_phases(config.data, config.train.batch_size)]
    contents = folder.data_fingerprints().get("corpus", "").split()
    found: dict[str, epath.PathLike] = {}
    for place in corpora:
        mine = open_corpus(place).fingerprint
        if mine not in contents:
            raise ConfigError(
                f"{folder.path} was started on other data than {place} (corpus {' '.join(contents)}, not {mine}): give"
                " the corpora of the run."
            )
        # A single fingerprint is that of all phases.
        found |= {path: place for path, content in zip(paths, itertools.cycle(contents)) if content == mine}
    for path in paths:
        if not epath.Path(found.get(path, path)).exists():
            raise ConfigError(f"There is no corpus at {path}: if it has moved, give its folder by --corpus.")
    return found


def pretrain(
    config: PretrainingConfig,
    workdir: epath.PathLike,
    options: Options | None = None,
    probe: Probe | None = None,
) -> dict[str, float]:
    """Pretrains a model, or resumes from the last checkpoint in `workdir`; see `training.run.run`."""
    return run(Pretraining(), config, workdir, options, probe)
