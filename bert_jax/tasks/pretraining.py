"""Pretraining by masked language model and next-sentence prediction (Devlin et al. 2018).

The whole task: its config, its loss, its score, and `pretrain`, which ties corpus, model and loop together.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from bert_jax import losses, sharding
from bert_jax.batch import Batch, check
from bert_jax.data.config import DataConfig
from bert_jax.data.corpus import Corpus, open_corpus
from bert_jax.data.evaluation import evaluation_batches
from bert_jax.data.loader import Loader
from bert_jax.data.phases import PhasedBatches, phase_problems, plan_phases
from bert_jax.data.statistics import describe
from bert_jax.errors import ConfigError
from bert_jax.losses import Mean
from bert_jax.model.bert import BertForPretraining
from bert_jax.model.config import ModelConfig
from bert_jax.model.dropout import token_keys
from bert_jax.optimizer import OptimizerConfig, make_optimizer, make_schedule
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.next_sentence import candidate_losses, pair_losses
from bert_jax.training import budget, loop
from bert_jax.training.checkpoints import Checkpoints
from bert_jax.training.loop import EvalConfig, TrainConfig
from bert_jax.training.metrics import MetricWriter, read_metrics
from bert_jax.training.progress import Progress
from bert_jax.training.state import create_state
from bert_jax.training.step import make_eval_step, make_train_step
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


def check_config(config: PretrainingConfig) -> None:
    """Finds everything that cannot work before anything is compiled.

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
            f"data.sequence_length={max(lengths)} is longer than"
            f" model.max_positions={config.model.max_positions}: raise the latter, or use model.positions=sinusoidal."
        )
    if config.data.phases and config.train.time_budget is not None:
        problems.append("train.time_budget does not know what a step of a later phase costs: give train.num_steps.")
    steps, warmup = config.train.num_steps, config.optimizer.warmup_steps
    if steps is not None and warmup is not None and warmup >= steps:
        problems.append(
            f"optimizer.warmup_steps={warmup} is not below train.num_steps={steps}, so the rate would never reach its"
            f" peak: lower it, or use optimizer.warmup_ratio with optimizer.warmup_steps=none."
        )
    if not config.data.corpus:
        problems.append("data.corpus is empty: give the folder that experiments.prepare_corpus made.")
    if problems:
        raise ConfigError("\n".join(problems))


# What a resumed workdir may change: it does not decide what is learnt.
MAY_CHANGE_ON_RESUME = frozenset(
    (
        "data.corpus",  # the folder may move; its content is compared by fingerprint
        "data.prefetch",
        "train.log_every",
        "train.checkpoint_every",
        "train.keep_checkpoints",
        "train.stop_after",
        "train.time_budget",  # it chose the number of steps at the first start
        "eval.every",
        "mesh.data",
        "mesh.fsdp",
        "mesh.tensor",
    )
)
# What the first start fills in where it is not given.
CHOSEN_AT_START = frozenset(("model.vocab_size", "train.num_steps"))


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
            groups = losses.means_by_group(mlm, weights, _sources_of_predictions(batch), sources)
            others |= {f"mlm_loss/{name}": mean for name, mean in groups.items()}
        if data.examples == "candidates":
            scored = candidate_losses(output.pooled, batch, data.nsp_group_size, data.nsp_temperature)
            total["nsp_loss"], others["nsp_accuracy"] = scored
        elif data.examples != "full_sentences":
            total["nsp_loss"], others["nsp_accuracy"] = pair_losses(output.nsp_logits, batch)
        return total, others

    return loss_fn


def _sources_of_predictions(batch: Batch) -> jax.Array:
    """The source of each predicted position [B, K]; any where unused."""
    slot = jnp.take_along_axis(batch["sequence_ids"], batch["masked_positions"], axis=1) - 1
    return jnp.take_along_axis(batch["source_ids"], jnp.maximum(slot, 0), axis=1)


def unigram_losses(batches: list[Batch], token_counts: np.ndarray, frame_ids: tuple[int, ...]) -> np.ndarray:
    """−log share, in nats, of each target of the batches under the training split's token counts.

    Special tokens, which are never targets, have no share; each other token counts once more than it occurs.
    """
    counts = np.asarray(token_counts, np.float64) + 1
    counts[list(frame_ids)] = 0
    targets = np.concatenate([b["masked_targets"][b["masked_weights"] > 0] for b in batches])
    return -np.log(counts[targets] / counts.sum())


def baselines(batches: list[Batch], corpus: Corpus, data: DataConfig) -> dict[str, float]:
    """What the scores are read against: words guessed by frequency, and always the more frequent label, or chance."""
    guesses = unigram_losses(batches, corpus.train.token_counts, corpus.tokenizer.frame_ids)
    found = {"eval/unigram_mlm_loss": float(guesses.mean())}
    if len(corpus.sources) > 1:
        sources = np.concatenate([np.asarray(_sources_of_predictions(b))[b["masked_weights"] > 0] for b in batches])
        for i, name in enumerate(corpus.sources):
            if (sources == i).any():
                found[f"eval/unigram_mlm_loss/{name}"] = float(guesses[sources == i].mean())
    labels = np.concatenate([b["nsp_labels"][b["nsp_weights"] > 0] for b in batches])
    if data.examples == "candidates":
        found["eval/nsp_chance"] = 1 / data.nsp_group_size
    elif len(labels):
        found["eval/nsp_majority"] = float(max(labels.mean(), 1 - labels.mean()))
    return found


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
        """A host batch on the mesh."""
        return sharding.place_batch(batch, self.mesh)

    def training_batch(self, step: int) -> tuple[dict[str, jax.Array], int]:
        """The batch of `step` (from 0) on the mesh, and how many real tokens it has."""
        rows = self.batches.batch_size(step) // jax.process_count()
        batch = self.batches.batch(step, jax.process_index() * rows, (jax.process_index() + 1) * rows)
        return self.place(batch), int((batch["sequence_ids"] > 0).sum()) * jax.process_count()


def training_batches(config: PretrainingConfig) -> tuple[dict[str, Corpus], PhasedBatches]:
    """The opened corpora of all phases, by path, and the batches made from them.

    Raises:
      ConfigError, CorpusError: corpora that are not there, or do not go together.
    """
    phases = plan_phases(config.data, config.train.batch_size)
    corpora = {path: open_corpus(path) for path in dict.fromkeys(phase.config.corpus for phase in phases)}
    first = corpora[config.data.corpus]
    for path, other in corpora.items():
        if other.tokenizer.sha256 != first.tokenizer.sha256:
            raise ConfigError(f"{path} has another vocabulary than {config.data.corpus}: prepare it with --tokenizer.")
        if other.sources != first.sources:
            raise ConfigError(
                f"{path} has the sources {', '.join(other.sources)}, {config.data.corpus} has"
                f" {', '.join(first.sources)}: name them alike."
            )
    return corpora, PhasedBatches(phases, corpora, config.train.seed)


def open_batches(workdir: epath.PathLike, corpus: str | None = None) -> PhasedBatches:
    """The training batches of a run, to look at: opened from its folder, on the very data it was started with.

    Args:
      workdir: the run's folder.
      corpus: where the corpus is now, if it has moved.

    Raises:
      ConfigError, CorpusError: no run there, or its corpus is gone or another one.
    """
    if not epath.Path(workdir).is_dir():
        raise ConfigError(f"There is no folder {workdir}: give the --workdir of a run.")
    folder = Workdir(workdir)
    config = folder.load_config(PretrainingConfig)
    if config is None:
        raise ConfigError(f"{workdir} holds no run: it has no config.json.")
    config.data.corpus = corpus or config.data.corpus
    corpora, batches = training_batches(config)
    folder.compare_data(_facts(corpora))
    return batches


def _facts(corpora: dict[str, Corpus]) -> dict[str, str]:
    """What tells these data from others."""
    tokenizer = next(iter(corpora.values())).tokenizer
    return {"corpus": " ".join(corpus.fingerprint for corpus in corpora.values()), "tokenizer": tokenizer.sha256}


def set_up(config: PretrainingConfig) -> Pretraining:
    """Opens the corpus and makes the model and the held-out set, for a config that `check_config` has passed.

    Fills in `model.vocab_size`.

    Raises:
      ConfigError, CorpusError: what only the devices and the corpus can tell.
    """
    mesh = sharding.make_mesh(config.mesh)
    rows = mesh.shape["data"] * mesh.shape["fsdp"]
    corpora, batches = training_batches(config)
    for phase in batches.phases:
        parts, group = config.train.accumulation, phase.config.group_rows
        if phase.batch_size % (rows * parts * group):
            raise ConfigError(
                f"A batch size of {phase.batch_size} must be a multiple of the {rows} data devices"
                + (f" times train.accumulation={parts}" if parts > 1 else "")
                + (f" times data.nsp_group_size={group}" if group > 1 else "")
                + "."
            )
    corpus = corpora[config.data.corpus]
    if config.model.vocab_size is None:
        config.model.vocab_size = corpus.tokenizer.vocab_size
    if config.model.vocab_size < corpus.tokenizer.vocab_size:
        raise ConfigError(
            f"model.vocab_size={config.model.vocab_size} is smaller than the corpus' vocabulary of"
            f" {corpus.tokenizer.vocab_size}: raise it, or leave it out."
        )
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
    config: PretrainingConfig, workdir: epath.PathLike, should_stop: Callable[[], bool] = lambda: False
) -> dict[str, float]:
    """Trains, or goes on where the workdir's last checkpoint stands; writes everything under `workdir`.

    Where it goes on: a checkpoint that is whole, the newest first; without any, the initial parameters. Data, masks
    and dropout follow from the step, so a run that was interrupted ends bit for bit like one that was not.

    Args:
      config: complete but for `model.vocab_size` and, with a time budget, `train.num_steps`.
      workdir: of this run alone; the same config must be given each time.
      should_stop: asked after each step; True ends the run with a checkpoint.

    Returns:
      The last step's evaluation, baselines included; empty where the run was stopped before it.
    """
    check_config(config)
    config, workdir = copy.deepcopy(config), Workdir(workdir)
    stored = workdir.load_config(PretrainingConfig)
    if stored is not None:
        workdir.check_unchanged(config, stored, MAY_CHANGE_ON_RESUME, CHOSEN_AT_START)
        config.train.num_steps = stored.train.num_steps
    run = set_up(config)
    workdir.check_same_data(_facts(run.corpora))
    run.corpus.tokenizer.save(workdir.path / "tokenizer")

    loss_fn = make_loss_fn(run.model, config.data, run.corpus.sources)
    eval_step = jax.jit(make_eval_step(loss_fn))
    on_device = [run.place(batch) for batch in run.held_out]
    constants = baselines(run.held_out, run.corpus, config.data)

    def score(state) -> dict[str, float]:
        return evaluate(eval_step, state.params, on_device) | constants

    def compiled(num_steps: int):
        schedule = make_schedule(config.optimizer, num_steps)
        optimizer = make_optimizer(config.optimizer, schedule)
        make_state, shapes = create_state(run.init, optimizer, config.train.seed, run.mesh)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
        train_step = make_train_step(loss_fn, optimizer, schedule, config.train.accumulation, config.data.group_rows)
        return jax.jit(train_step, donate_argnums=0, out_shardings=(shardings, None)), make_state, shapes

    with jax.set_mesh(run.mesh), sharding.rules():
        if config.train.num_steps is None:
            step_fn, make_state, _ = compiled(1000)
            config.train.num_steps = budget.choose_num_steps(
                step_fn, make_state(), run.training_batch(0)[0], score, config.eval.every, config.train.time_budget
            )
        workdir.save_config(config)
        step_fn, make_state, shapes = compiled(config.train.num_steps)
        checkpoints = Checkpoints(workdir.checkpoints, config.train.keep_checkpoints, workdir.assets())
        state = checkpoints.restore_latest(shapes) or make_state()
        start = int(state.step)
        progress = Progress(start, config.train.num_steps, quiet=jax.process_index() > 0)
        progress.note(_opening(run, start, state))
        writer = MetricWriter(workdir.path, after_step=start)
        loader = Loader(run.training_batch, start, config.train.num_steps, config.data.prefetch)
        try:
            state = loop.run(
                state,
                step_fn,
                loader,
                start=start,
                num_steps=config.train.num_steps,
                config=config.train,
                evaluate=score,
                eval_every=config.eval.every,
                checkpoints=checkpoints,
                writer=writer,
                progress=progress,
                waited=lambda: loader.waited,
                facts=lambda step: {f"data/epochs/{name}": value for name, value in run.batches.epochs(step).items()},
                should_stop=should_stop,
            )
        finally:
            loader.close()
            writer.close()
            checkpoints.close()
    return next(
        (row for row in read_metrics(workdir.path) if row["step"] == config.train.num_steps and "eval/mlm_loss" in row),
        {},
    )


def _opening(run: Pretraining, start: int, state) -> str:
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    steps = run.config.train.num_steps
    if start >= steps:
        return f"This run is finished: {steps:,} of {steps:,} steps."
    lines = [
        f"{'going on after step ' + format(start, ',') if start else 'starting'}: {parameters:,} parameters,"
        f" {steps:,} steps, {run.corpus.train.num_tokens:,} tokens of text"
    ]
    for index, phase in enumerate(run.batches.phases):
        if phase.start < steps:
            lines.append(
                f"from step {phase.start + 1:,}: {phase.batch_size} rows × {phase.config.sequence_length} tokens;"
                f" {describe(run.batches.of_phase(index))}"
            )
    passes = ", ".join(f"{name} {epochs:.2f}" for name, epochs in run.batches.epochs(steps).items())
    return "\n".join([*lines, f"passes over each source: {passes}"])
