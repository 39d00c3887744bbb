"""Classification of texts or pairs of texts (Devlin et al. 2018): sentiment, topics, entailment, …"""

import dataclasses
import json
from collections.abc import Mapping

import numpy as np

from bert_jax import hashing
from bert_jax.data.labelled import LabelledStream, OnePhase, Rows
from bert_jax.data.labelled_files import LabelledConfig, LabelledText, read_labelled
from bert_jax.data.texts import encode
from bert_jax.errors import ConfigError, CorpusError, did_you_mean
from bert_jax.model.config import ModelConfig
from bert_jax.objectives.labels import Labels
from bert_jax.objectives.learner import Learner
from bert_jax.optim.optimizer import OptimizerConfig
from bert_jax.sharding import MeshConfig
from bert_jax.tasks.starting_point import (
    inherit_model,
    open_start,
    read_starting_point,
    tokenizer_files,
    tokenizer_from,
)
from bert_jax.tokenization import Tokenizer, load_tokenizer
from bert_jax.training.config import EvalConfig, TrainConfig
from bert_jax.training.task import Task, TaskKind
from bert_jax.training.workdir.warm_start import Start

LABEL_FILE = "labels.json"


@dataclasses.dataclass
class ClassificationConfig:
    """The complete config of a classification run."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: LabelledConfig = dataclasses.field(default_factory=LabelledConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)


class Classification(TaskKind[ClassificationConfig]):
    """Predicts one of several labels. The labels are those of the training file, sorted by name."""

    name = "classification"
    config_class = ClassificationConfig

    def phases(self, config: ClassificationConfig) -> tuple[OnePhase]:
        return (OnePhase(config.train.batch_size),)

    def open_start(self, path: str) -> Start:
        return open_start(path)

    def longest_example(self, config: ClassificationConfig) -> int:
        return config.data.sequence_length

    def cut_sizes(self, config: ClassificationConfig) -> dict[str, tuple[str, int]]:
        return config.model.cut_sizes

    def complete(self, config: ClassificationConfig, stored: ClassificationConfig | None) -> None:
        if path := config.train.init_from:
            inherit_model(config.model, stored.model if stored else read_starting_point(path).model, path)

    def problems(self, config: ClassificationConfig) -> list[str]:
        found = config.model.length_problems(config.data.sequence_length, "data.sequence_length")
        if not config.train.init_from and not config.data.tokenizer:
            found.append("Give train.init_from (a pretrained run) or, to train from scratch, data.tokenizer.")
        if config.train.init_from and config.data.tokenizer:
            found.append("data.tokenizer has no effect with train.init_from, which has its own: leave it out.")
        return found

    def objectives(self, config: ClassificationConfig, files: Mapping[str, bytes]) -> tuple[Labels]:
        return (Labels(names=tuple(json.loads(files[LABEL_FILE]))),)

    def open(self, config: ClassificationConfig, files: Mapping[str, bytes]) -> Task:
        data, tokenizer = config.data, _tokenizer(config, files)
        train, validation = (read_labelled(path, data) for path in (data.train, data.validation))
        names = sorted({row.label for row in train})
        if len(names) < 2:
            raise CorpusError(f"{data.train} has only one label, {names[0]!r}: give examples of at least two.")
        if len(scored := {row.label for row in validation}) < 2:
            raise CorpusError(
                f"{data.validation} has only one label, {scored.pop()!r}, so that always giving it has a perfect score:"
                " give examples of at least two."
            )
        lines = [f"data         {len(train):,} training texts, {len(validation):,} validation texts"]
        lines.append(f"labels       {len(names)}: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}")
        if known := len(_texts(validation) & _texts(train)):
            lines.append(f"warning      {known:,} validation texts are training texts too: they show memory, not skill")
        packed = []
        # The held-out rows do not depend on the seed.
        for path, texts, seed in ((data.train, train, config.train.seed), (data.validation, validation, 0)):
            encoded = encode([(row.text, row.pair) for row in texts], tokenizer, data.sequence_length)
            if encoded.num_cut:
                share = encoded.num_cut / len(texts)
                lines.append(f"cut          {encoded.num_cut:,} texts of {path} ({share:.1%}) do not fit in a row")
            columns = {"labels": _label_ids(texts, names), "label_weights": np.ones(len(texts), np.float32)}
            stream = (seed, len(packed))
            packed.append(Rows(encoded, columns, tokenizer, data.sequence_length, data.row_examples, stream))
        fingerprints = {"train": hashing.sha256(data.train), "validation": hashing.sha256(data.validation)}
        fingerprints["tokenizer"] = tokenizer.sha256
        own = tokenizer_files(tokenizer)
        own[LABEL_FILE] = json.dumps(names, ensure_ascii=False).encode()
        return Task(
            stream=LabelledStream(packed[0], config.train.batch_size, fingerprints, tuple(lines)),
            learner=Learner(config.model, self.objectives(config, own)),
            held_out=packed[1].all(),
            files=own,
            summary=f"Trained to assign one of {len(names)} labels to each of {len(train):,} texts.",
            prefetch=data.prefetch,
        )


def _tokenizer(config: ClassificationConfig, files: Mapping[str, bytes]) -> Tokenizer:
    """Returns the tokenizer of a resumed run or of the starting point; fills in the vocabulary size."""
    if files:
        tokenizer = tokenizer_from(files)
    elif config.train.init_from:
        tokenizer = read_starting_point(config.train.init_from).tokenizer
    else:
        tokenizer = load_tokenizer(config.data.tokenizer)
    if config.model.vocab_size is None:
        config.model.vocab_size = tokenizer.vocab_size
    if config.model.vocab_size < tokenizer.vocab_size:
        raise ConfigError(
            f"model.vocab_size={config.model.vocab_size} is smaller than the tokenizer's {tokenizer.vocab_size}:"
            " raise it, or leave it out."
        )
    return tokenizer


def _texts(rows: list[LabelledText]) -> set[tuple[str, str | None]]:
    return {(row.text, row.pair) for row in rows}


def _label_ids(rows: list[LabelledText], names: list[str]) -> np.ndarray:
    """Returns int32 [rows], indices into `names`."""
    places = {name: i for i, name in enumerate(names)}
    for row in rows:
        if row.label not in places:
            near = did_you_mean(row.label, names)
            raise CorpusError(f"{row.where}: the label {row.label!r} does not occur in the training file.{near}")
    return np.array([places[row.label] for row in rows], np.int32)
