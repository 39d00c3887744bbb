"""Pretraining by masked language model and next-sentence prediction (Devlin et al. 2018).

The whole task: its config, its loss, its score, and `pretrain`, which ties corpus, model and loop together.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from etils import epath

from bert_jax import losses, sharding
from bert_jax.batch import Batch, check
from bert_jax.data.config import DataConfig, source_shares
from bert_jax.data.corpus import Corpus, open_corpus
from bert_jax.data.evaluation import evaluation_batches
from bert_jax.data.phases import PhasedBatches, phase_problems, plan_phases
from bert_jax.data.statistics import describe
from bert_jax.errors import ConfigError, check_all
from bert_jax.losses import Mean
from bert_jax.model.bert import BertForPretraining, layer_of
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import token_keys
from bert_jax.model.flops import training_flops
from bert_jax.optimizer import OptimizerConfig
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.baselines import baselines, sources_of_predictions
from bert_jax.tasks.next_sentence import candidate_losses, pair_losses
from bert_jax.training import processes
from bert_jax.training.config import EvalConfig, TrainConfig
from bert_jax.training.resume import check_resumed
from bert_jax.training.run import Options, train
from bert_jax.training.task import Task, Work
from bert_jax.training.workdir import Workdir


@dataclasses.dataclass
class PretrainingConfig:
    """Everything that decides a pretraining run."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)


def check_config(config: PretrainingConfig, devices: list[jax.Device] | None = None) -> None:
    """Finds everything that cannot work on these devices, before a corpus is opened and anything is compiled.

    Raises:
      ConfigError: all problems at once, a sentence each.
    """
    problems = [p for section in dataclasses.fields(config) for p in getattr(config, section.name).problems()]
    problems += (in_phases := phase_problems(config.data, config.train.batch_size))
    lengths = [config.data.sequence_length]
    if not in_phases:
        lengths = [phase.config.sequence_length for phase in plan_phases(config.data, config.train.batch_size)]
    if config.model.positions == "learned" and max(lengths) > config.model.max_positions:
        problems.append(
            f"data.sequence_length={max(lengths)}{' (in a phase)' * (max(lengths) > lengths[0])} is longer than"
            f" model.max_positions={config.model.max_positions}: raise the latter, or use model.positions=sinusoidal."
        )
    steps, warmup = config.train.num_steps, config.optimizer.warmup_steps
    if steps is not None and warmup is not None and warmup >= steps:
        problems.append(
            f"optimizer.warmup_steps={warmup} is not below train.num_steps={steps}, so the rate would never reach its"
            f" peak: lower it, or use optimizer.warmup_ratio with optimizer.warmup_steps=none."
        )
    if not config.data.corpus:
        problems.append("data.corpus is empty: give the folder that experiments.prepare_corpus made.")
    if not config.mesh.problems() and not in_phases:
        problems += _device_problems(config, len(devices or jax.devices()))
    if problems:
        raise ConfigError("\n".join(problems))


def _device_problems(config: PretrainingConfig, count: int) -> list[str]:
    """Sentences about what cannot be cut over so many devices."""
    found = sharding.mesh_problems(config.mesh, count, config.model.cut_sizes)
    rows, parts = sharding.data_devices(config.mesh, count), max(1, config.train.accumulation)
    for phase in plan_phases(config.data, config.train.batch_size):
        group = max(1, phase.config.group_rows)
        if phase.batch_size % (unit := rows * parts * group):
            where = f"data.phases: batch_size={phase.batch_size} (from step {phase.start} on)"
            found.append(
                (where if phase.start else f"train.batch_size={phase.batch_size}")
                + f" must be a multiple of the {rows} data devices"
                + (f" times train.accumulation={parts}" if parts > 1 else "")
                + (f" times data.nsp_group_size={group}" if group > 1 else "")
                + f": choose {-(-phase.batch_size // unit) * unit}, for example."
            )
    return found


def make_loss_fn(model: BertForPretraining, data: DataConfig, sources: tuple[str, ...]):
    """The loss function of (params, batch, rng); see `training.step.LossFn`.

    Args:
      model: the linen module.
      data: its kind of examples says what there is to tell about the next sentence.
      sources: their names; with several, the masked-language-model loss is also given for each.
    """

    def loss_fn(params: Any, batch: Batch, rng) -> tuple[dict[str, Mean], dict[str, Mean]]:
        keys = None if rng is None else token_keys(*rng, batch)
        output = model.apply({"params": params}, batch, keys)
        targets, weights = batch["masked_targets"], batch["masked_weights"]
        mlm = losses.cross_entropies(output.mlm_logits, targets)
        total = {"mlm_loss": losses.mean(mlm, weights)}
        others = {"mlm_accuracy": losses.mean(losses.hits(output.mlm_logits, targets), weights)}
        if len(sources) > 1:
            groups = losses.means_by_group(mlm, weights, sources_of_predictions(batch), sources)
            others |= {f"mlm_loss/{name}": mean for name, mean in groups.items()}
        if data.examples == "candidates":
            scored = candidate_losses(output.pooled, batch, data.nsp_group_size, data.nsp_temperature)
            total["nsp_loss"], others["nsp_accuracy"] = scored
        elif data.examples != "full_sentences":
            total["nsp_loss"], others["nsp_accuracy"] = pair_losses(output.nsp_logits, batch)
        return total, others

    return loss_fn


def evaluate(eval_step: Callable, params: Any, batches: list[dict[str, jax.Array]]) -> dict[str, float]:
    """Scores of the fixed held-out set: `eval/mlm_loss`, `eval/mlm_accuracy`, `eval/nsp_loss`, `eval/nsp_accuracy`,
    and with several sources `eval/mlm_loss/SOURCE`."""
    total = functools.reduce(
        lambda left, right: {name: left[name] + right[name] for name in left},
        (eval_step(params, batch) for batch in batches),
    )
    return {f"eval/{name}": float(mean.value) for name, mean in jax.device_get(total).items()}


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """A run made ready: everything compiled functions need, nothing trained yet.

    Attributes:
      config: complete: no field waits for the tokenizer.
      corpus: the first phase's, which also gives the evaluation set.
      model: the linen module.
      mesh: the devices.
      corpora: those of all phases, by path.
      batches: the training batches.
      held_out: the fixed evaluation set, host arrays.
    """

    config: PretrainingConfig
    corpus: Corpus
    model: BertForPretraining
    mesh: jax.sharding.Mesh
    corpora: dict[str, Corpus]
    batches: PhasedBatches
    held_out: list[Batch]

    def init(self, key: jax.Array) -> Any:
        """Initial parameters, boxed with their logical axes."""
        return self.model.init(key, self.held_out[0])["params"]

    def place(self, batch: Batch) -> dict[str, jax.Array]:
        """A host batch, the same whole one on every process, on the mesh."""
        return sharding.place_batch(batch, self.mesh)

    def work(self, step: int) -> Work:
        """The batch of `step` (from 0) on the mesh; every process makes its own rows only."""
        size = self.batches.batch_size(step)
        parts = [self.batches.batch(step, *rows) for rows in sharding.process_rows(self.mesh, size)]
        batch = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        # Of the other processes' rows nothing is known: they are taken to be like these.
        share = size / len(batch["sequence_ids"])
        tokens, flops = int((batch["sequence_ids"] > 0).sum()), training_flops(self.config.model, batch)
        return Work(sharding.place_rows(batch, size, self.mesh), round(tokens * share), flops * share)

    def describe(self, num_steps: int) -> list[str]:
        """Lines about the data of a run of so many steps."""
        sources = ", ".join(f"{name} {passes:,.2f}" for name, passes in self.batches.epochs(num_steps).items())
        train = self.corpus.train
        lines = [f"data         {train.num_documents:,} documents, {train.num_tokens:,} tokens of text"]
        for index, phase in enumerate(self.batches.phases):
            if phase.start < num_steps:
                lines.append(
                    f"from step {phase.start + 1:<3,}{phase.batch_size:,} rows × {phase.config.sequence_length} tokens:"
                    f" {describe(self.batches.of_phase(index))}"
                )
        return [*lines, f"epochs       passes over each source: {sources}"]

    def task(self, probe: "Probe | None" = None) -> Task:
        """What `training.run.train` needs."""
        config, names = self.config, self.corpus.sources
        placed: list[dict[str, jax.Array]] = []
        constants = baselines(self.held_out, self.corpus, config.data)

        def score(eval_step, params) -> dict[str, float]:
            if not placed:
                placed.extend(self.place(batch) for batch in self.held_out)
            found = evaluate(eval_step, params, placed) | constants
            return found | {f"eval/{name}": value for name, value in (probe(self, params) if probe else {}).items()}

        return Task(
            mesh=self.mesh,
            init=self.init,
            loss_fn=make_loss_fn(self.model, config.data, names),
            work=self.work,
            score=score,
            layer_of=layer_of,
            passes=self.batches.epochs,
            describe=self.describe,
            stages=tuple(phase.start for phase in self.batches.phases),
            group_rows=config.data.group_rows,
            prefetch=config.data.prefetch,
            dtype=config.model.dtype,
            facts=_facts(self.corpora),
            save=lambda folder: self.corpus.tokenizer.save(folder / "tokenizer"),
        )


# A further evaluation, such as labelled examples scored on the hidden states: the run and its parameters (arrays on the
# mesh) to scores by name, logged as `eval/NAME` at each evaluation. What it computes must follow from these alone.
Probe = Callable[[Pretraining, Any], dict[str, float]]


def training_batches(config: PretrainingConfig) -> tuple[dict[str, Corpus], PhasedBatches]:
    """The opened corpora of all phases, by path, and the batches made from them.

    Raises:
      ConfigError, CorpusError: corpora that are not there, or do not go together: all problems at once.
    """
    phases = plan_phases(config.data, config.train.batch_size)
    corpora: dict[str, Corpus] = {}
    paths = dict.fromkeys(phase.config.corpus for phase in phases)
    check_all(*(functools.partial(_open_into, corpora, path) for path in paths))
    check_all(
        *(functools.partial(_check_alike, corpora, config.data.corpus, path) for path in paths),
        *(functools.partial(_check_weights, phase.config, corpora[phase.config.corpus]) for phase in phases),
        functools.partial(_check_vocabulary, config.model, corpora[config.data.corpus]),
    )
    return corpora, PhasedBatches(phases, corpora, config.train.seed)


def _open_into(corpora: dict[str, Corpus], path: str) -> None:
    corpora[path] = open_corpus(path)


def _check_alike(corpora: dict[str, Corpus], first_path: str, path: str) -> None:
    first, other = corpora[first_path], corpora[path]
    if other.tokenizer.sha256 != first.tokenizer.sha256:
        raise ConfigError(f"{path} has another vocabulary than {first_path}: prepare it with --tokenizer.")
    if other.sources != first.sources:
        raise ConfigError(
            f"{path} has the sources {', '.join(other.sources)}, {first_path} has {', '.join(first.sources)}:"
            f" name them alike."
        )


def _check_weights(data: DataConfig, corpus: Corpus) -> None:
    """Also those of a phase that is far away."""
    documents = [corpus.train.of_source(i).num_documents for i in range(len(corpus.sources))]
    source_shares(data, corpus.sources, np.array(documents))


def _check_vocabulary(model: ModelConfig, corpus: Corpus) -> None:
    size = corpus.tokenizer.vocab_size
    if model.vocab_size is not None and model.vocab_size < size:
        raise ConfigError(
            f"model.vocab_size={model.vocab_size} is smaller than the corpus' vocabulary of {size}: raise it, or leave"
            f" it out."
        )


def open_batches(workdir: epath.PathLike, corpus: str | None = None) -> PhasedBatches:
    """The training batches of a run, to look at: opened from its folder, on the very data it was started with.

    Args:
      workdir: the run's folder.
      corpus: where the corpus is now, if it has moved.

    Raises:
      ConfigError, CorpusError: no run there, or its corpus is gone or another one.
    """
    config = run_config(workdir)
    config.data.corpus = corpus or config.data.corpus
    corpora, batches = training_batches(config)
    Workdir(workdir).compare_data(_facts(corpora))
    return batches


def run_config(workdir: epath.PathLike) -> PretrainingConfig:
    """The config that a run was started with, its chosen number of steps included.

    Raises:
      ConfigError: no run there.
    """
    if not epath.Path(workdir).is_dir():
        raise ConfigError(f"There is no folder {workdir}: give the --workdir of a run.")
    config = Workdir(workdir).load_config(PretrainingConfig)
    if config is None:
        raise ConfigError(f"{workdir} holds no run: it has no config.json.")
    return config


def _facts(corpora: dict[str, Corpus]) -> dict[str, str]:
    """What tells these data from others."""
    tokenizer = next(iter(corpora.values())).tokenizer
    return {"corpus": " ".join(corpus.fingerprint for corpus in corpora.values()), "tokenizer": tokenizer.sha256}


def set_up(config: PretrainingConfig) -> Pretraining:
    """Opens the corpus and makes the model and the held-out set, for a config that `check_config` has passed.

    Fills in `model.vocab_size`.

    Raises:
      ConfigError, CorpusError: what only the corpus can tell.
    """
    mesh = sharding.make_mesh(config.mesh)
    corpora, batches = training_batches(config)
    corpus = corpora[config.data.corpus]
    if config.model.vocab_size is None:
        config.model.vocab_size = corpus.tokenizer.vocab_size
    held_out = evaluation_batches(
        corpus, _scored(config), config.eval.seed, config.train.batch_size, config.eval.num_targets
    )
    for batch in (held_out[0], batches.batch(0)):
        check(batch, config.model.vocab_size)
    return Pretraining(config, corpus, BertForPretraining(config.model), mesh, corpora, batches, held_out)


def _scored(config: PretrainingConfig) -> DataConfig:
    """How the evaluation set is made: masked by token, at a rate of its own, so that runs of any masking compare."""
    released = DataConfig()
    return dataclasses.replace(
        config.data,
        mask_rate=config.eval.mask_rate,
        masking=released.masking,
        mask_share=released.mask_share,
        random_share=released.random_share,
    )


def pretrain(
    config: PretrainingConfig,
    workdir: epath.PathLike,
    options: Options | None = None,
    probe: Probe | None = None,
) -> dict[str, float]:
    """Trains, or goes on where the workdir's last checkpoint stands; writes everything under `workdir`.

    Args:
      config: complete but for `model.vocab_size` and, with a time budget, `train.num_steps`.
      workdir: of this run alone; the same config must be given each time, see `training.resume`.
      options: of this start alone.
      probe: a further evaluation.

    Returns:
      The last step's evaluation, baselines included; empty where the run was stopped before it.

    Raises:
      ConfigError, CorpusError: before anything is compiled.
      TrainingError: the loss is not finite.
    """
    config, folder = copy.deepcopy(config), Workdir(workdir)
    with processes.together():
        checks = [functools.partial(check_config, config)]
        checks += [folder.check_writable] if processes.is_first() else []  # it makes files, and removes them
        check_all(*checks)
        stored = folder.load_config(PretrainingConfig)
        if stored is not None:
            check_resumed(config, stored, folder.latest_step() or 0, str(folder.path))
        task = set_up(config).task(probe)
    return train(task, config, folder, options or Options())
